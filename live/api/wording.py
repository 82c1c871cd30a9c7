"""What is wrong with a field, in words for people: a pattern is for programs."""

from collections.abc import Mapping
from typing import Any

_WORDS: dict[str, str] = {}


def worded(pattern: str, words: str) -> str:
    """Return ``pattern``, for the form of a field; what does not match it is told that it must be ``words``."""
    assert _WORDS.setdefault(pattern, words) == words, pattern
    return pattern


def wrong(error: Mapping[str, Any]) -> str:
    """Return what an error of a form says."""
    if error["type"] == "string_pattern_mismatch":
        return f"must be {_WORDS[error['ctx']['pattern']]}"
    said: str = error["msg"]
    return said.removeprefix("Value error, ")
