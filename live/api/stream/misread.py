"""What is wrong with a message of the stream, in our words: its reader tells the types of Python."""

import re

from live.api.wording import UNFORESEEN

_LONGEST_NAME = 100
_PLACE = r"(?: - at `\$(?P<place>[^`]*)`)?"
_KIND = re.compile(r"Expected `(?P<wanted>\w+)(?: \| null)?`, got `(?P<given>\w+)`" + _PLACE)
_BOUND = re.compile(r"Expected `int` (?P<side>>=|<=) (?P<bound>-?\d+)" + _PLACE)
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<name>.*?)`" + _PLACE, re.DOTALL)
_WORDS = {
    "str": "text",
    "int": "a whole number",
    "float": "a number with a point or an exponent",
    "bool": "true or false",
    "array": "a list",
    "object": "an object",
}
_SIDES = {">=": "more", "<=": "less"}


def misread(error: str) -> str:
    """Return what a message of ``msgspec.ValidationError`` says, beginning with the field that it is about."""
    if found := _KIND.fullmatch(error):
        wanted, given = (_WORDS.get(found[part], found[part]) for part in ("wanted", "given"))
        return f"{_name(found['place'])} must be {wanted}; it was {given}"
    if found := _BOUND.fullmatch(error):
        return f"{_name(found['place'])} must be {found['bound']} or {_SIDES[found['side']]}"
    if found := _UNKNOWN.fullmatch(error):
        return f"{_name(found['place'])}.{found['name'][:_LONGEST_NAME]} is no field of this message; leave it out"
    return f"message {UNFORESEEN}"


def _name(place: str | None) -> str:
    """Return a place such as ``.subscribe[0]`` as other fields are named."""
    return "message" + (place or "").replace("[", ".").replace("]", "")
