"""What is wrong with a field, in words for people: a pattern is for programs."""

from collections.abc import Callable, Mapping
from typing import Any

from live.api.unique_names import TWICE

UNFORESEEN = "is not what it must be; /docs has what that is"
_WORDS: dict[str, str] = {}
_KINDS = {
    bool: "true or false",
    int: "a number",
    float: "a number with a point or an exponent",
    str: "text",
    list: "a list",
    dict: "an object",
}
_LONGEST_SHOWN = 40
_Error = Mapping[str, Any]


def worded(pattern: str, words: str) -> str:
    """Return ``pattern``, for the form of a field; what does not match it is told that it must be ``words``."""
    assert _WORDS.setdefault(pattern, words) == words, pattern
    return pattern


def wrong(error: _Error) -> str:
    """Return what an error of a form says: what was given, as far as that is no secret, and what would be right."""
    if error["type"] == "value_error":  # raised by a form of ours, in our words
        return str(error["msg"]).removeprefix("Value error, ")
    say = _SAY.get(error["type"])
    return UNFORESEEN if say is None else say(error)


def _fixed(words: str) -> Callable[[_Error], str]:
    return lambda _: words


def _kind(wanted: str) -> Callable[[_Error], str]:
    """Say what kind of value is wanted, and which was given."""

    def say(error: _Error) -> str:
        given = error.get("input")
        was = "null" if given is None else _KINDS.get(type(given), "something else")
        return f"must be {wanted}; it was {was}" if was != wanted else f"must be {wanted}"

    return say


def _bound(wanted: str, bound: str) -> Callable[[_Error], str]:
    """Say within what a number must be."""

    def say(error: _Error) -> str:
        given, right = str(error["input"]), wanted.format(error["ctx"][bound])
        return f"was {given}; it must be {right}" if len(given) <= _LONGEST_SHOWN else f"must be {right}"

    return say


def _length(wanted: str, bound: str) -> Callable[[_Error], str]:
    """Say how long a text or a list must be: never what it is, as it may be a password."""

    def say(error: _Error) -> str:
        given = error["input"]
        each = "character" if isinstance(given, str) else "item"  # a password too is told as a list
        return f"had {_count(len(given), each)}; it must have {wanted} {_count(error['ctx'][bound], each)}"

    return say


def _count(number: int, of: str) -> str:
    return f"{number} {of}" if number == 1 else f"{number} {of}s"


def _choice(error: _Error) -> str:
    given, wanted = error["input"], error["ctx"]["expected"]
    if not isinstance(given, str):
        return _kind(wanted)(error)
    return f"was {given!r}; it must be {wanted}" if len(given) <= _LONGEST_SHOWN else f"must be {wanted}"


_WHOLE = "a whole number"
_DECIMAL = "a decimal as text"
_SAY: dict[str, Callable[[_Error], str]] = {
    TWICE: _fixed("was given more than once; it must be given once"),
    "missing": _fixed("must be given"),
    "extra_forbidden": _fixed("is no field of this request; leave it out"),
    "string_pattern_mismatch": lambda error: f"must be {_WORDS[error['ctx']['pattern']]}",
    "string_type": _kind("text"),
    "string_unicode": _fixed("must be text that UTF-8 can write, without halves of surrogate pairs"),
    "string_too_short": _length("at least", "min_length"),
    "string_too_long": _length("at most", "max_length"),
    "too_short": _length("at least", "min_length"),
    "too_long": _length("at most", "max_length"),
    "literal_error": _choice,
    "enum": _choice,
    "int_type": _kind(_WHOLE),
    "int_parsing": _fixed(f"must be {_WHOLE}"),
    "int_parsing_size": _fixed(f"must be {_WHOLE}, and not as large"),
    "int_from_float": _fixed(f"must be {_WHOLE}; it has digits after the point"),
    "decimal_type": _kind(_DECIMAL),
    "decimal_parsing": _fixed(f"must be {_DECIMAL}"),
    "decimal_max_places": lambda error: (
        f"must have at most {_count(error['ctx']['decimal_places'], 'digit')} after the point"
    ),
    "finite_number": _fixed("must be a finite number"),
    "bool_type": _kind("true or false"),
    "greater_than_equal": _bound("{} or more", "ge"),
    "less_than_equal": _bound("{} or less", "le"),
    "greater_than": _bound("more than {}", "gt"),
    "list_type": _kind("a list"),
    "dict_type": _kind("an object"),
    "model_type": _kind("an object"),
    "model_attributes_type": _kind("an object"),
}
