"""What is wrong with text that is no JSON, or none that we read, and where it begins."""

import re

from pydantic_core import from_json

_NO_JSON = "was no valid JSON"
_NO_UNICODE = "had text that is no Unicode: bytes that are no UTF-8, or half of a surrogate pair,"
# What a message of the parser begins with, and what we say in its place.
_WORDS = {
    "EOF": f"{_NO_JSON}: it broke off",
    "number out of range": "had a number of too many digits",
    "recursion limit exceeded": "was nested too deep",
    "lone leading surrogate": _NO_UNICODE,
    "unexpected end of hex escape": _NO_UNICODE,
    "invalid unicode code point": _NO_UNICODE,
}
_PLACED = re.compile(r"(.*) at line (\d+) column (\d+)", re.DOTALL)


def fault_of(text: bytes | str) -> str:
    """Return it, for behind the name of what was given; the place as line and character, both from 1."""
    whole = text.encode(errors="surrogatepass") if isinstance(text, str) else text
    try:
        from_json(whole)
    except ValueError as error:
        found = _PLACED.fullmatch(str(error))
        if found is not None:
            return f"{_worded(found[1])} at {_place(whole, int(found[2]), int(found[3]))}"
    return _NO_JSON


def _worded(message: str) -> str:
    for begin, words in _WORDS.items():
        if message.startswith(begin):
            return words
    return f"{_NO_JSON}: {message}"


def _place(whole: bytes, line: int, column: int) -> str:
    """Return a place that is counted in bytes as people count it."""
    before = whole.split(b"\n")[line - 1][: max(column - 1, 0)]
    return f"line {line}, character {len(before.decode(errors='replace')) + 1}"
