"""A message of the stream that is wrong is refused with the field and what it must be, in our words."""

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from live.api.stream.protocol import Closing, read
from live.api.wording import UNFORESEEN
from risk.errors import InvalidInput

WRONG: list[tuple[str, str]] = [
    ('{"auth": {"timestamp": 1}}', "message.auth.timestamp must be text; it was a whole number"),
    ('{"auth": {"token": {}}}', "message.auth.token must be text; it was an object"),
    ('{"auth": 3}', "message.auth must be an object; it was a whole number"),
    ('{"subscribe": "orders"}', "message.subscribe must be a list; it was text"),
    ('{"subscribe": ["marks", null]}', "message.subscribe.1 must be text; it was null"),
    ('{"ping": true}', "message.ping must be a whole number; it was true or false"),
    ('{"ping": 1.5}', "message.ping must be a whole number; it was a number with a point or an exponent"),
    ('{"ping": -1}', "message.ping must be 0 or more"),
    ('{"after": 9223372036854775808}', "message.after must be 9223372036854775807 or less"),
    ("[]", "message must be an object; it was a list"),
    ('{"x": 1}', "message.x is no field of this message; leave it out"),
    (
        '{"auth": {"`x` - at `$.y`": 1}}',
        "message.auth.`x` - at `$.y` is no field of this message; leave it out",
    ),
    ('{"ping": 1,}', "the message was no valid JSON: trailing comma at line 1, character 12"),
    ('{"ping": 1', "the message was no valid JSON: it broke off at line 1, character 10"),
    ("", "the message was no valid JSON: it broke off at line 1, character 1"),
]


@pytest.mark.parametrize(("text", "words"), WRONG)
def test_what_is_wrong_is_told_with_its_field(text: str, words: str) -> None:
    with pytest.raises(InvalidInput, match=f"^{re.escape(words)}$"):
        read(text)


VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)
NAMES = st.sampled_from(["auth", "subscribe", "unsubscribe", "ping", "after", "token", "timestamp", "x"])
MESSAGES = st.dictionaries(NAMES, VALUES | st.dictionaries(NAMES, VALUES, max_size=3), max_size=3)


@given(MESSAGES | VALUES)
def test_no_message_is_refused_in_other_words_than_ours(message: Any) -> None:
    told = ""
    try:
        read(json.dumps(message))
    except InvalidInput as error:
        told = str(error)
    except Closing as closing:
        told = closing.reason
    assert UNFORESEEN not in told
    assert "Expected" not in told
