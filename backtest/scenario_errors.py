"""The first thing wrong with a validated file, as one sentence that names the value and what would be right."""

import difflib
from collections.abc import Callable
from decimal import Decimal

from pydantic import BaseModel, ValidationError


def sentence(error: ValidationError, keys_at: Callable[[list[str]], list[str]]) -> str:
    """Describe the first error; ``keys_at`` gives the keys that are known at a place in the file."""
    # An unknown key is the likelier cause of a missing one: name it first.
    first = min(error.errors(), key=lambda each: each["type"] != "extra_forbidden")
    location = [str(part) for part in first["loc"]]
    path, given = ".".join(location), first["input"]
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        known = keys_at(location[:-1])
        near = difflib.get_close_matches(location[-1], known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known keys are {', '.join(known)}"
        return f"unknown key {path}: {hint}"
    if first["type"] == "missing":
        return f"{path} was missing; it must be given"
    if isinstance(given, dict | BaseModel):
        return f"{path}: {message}" if path else message
    message = message.replace("Input should be", "it must be")
    return f"{path} was {str(given) if isinstance(given, Decimal) else repr(given)}; {message}"
