"""Answers as JSON, written without a second look: the routes' models only describe them."""

from typing import Any

import msgspec
from pydantic import BaseModel, Field
from starlette.responses import Response

_encode = msgspec.json.Encoder().encode


class PageOf[Item](BaseModel):
    """Be one page of a list, newest first."""

    items: list[Item]
    next: int | None = Field(
        description="Pass it as `before` for the following page; null at the end.", examples=[1107]
    )

    @classmethod
    def model_parametrized_name(cls, params: tuple[Any, ...]) -> str:
        """Return its name in the document, in which a name has no brackets."""
        return f"PageOf{params[0].__name__}"


class JsonAnswer(Response):
    """Be an answer of JSON, whose two headers need no looking at."""

    def __init__(self, body: bytes, status: int) -> None:
        self.body = body
        self.status_code = status
        self.background = None
        self.raw_headers = [(b"content-length", b"%d" % len(body)), (b"content-type", b"application/json")]


def json_answer(value: Any, status: int = 200) -> Response:
    """Return ``value`` (dicts, lists, msgspec structs) as JSON."""
    return JsonAnswer(_encode(value), status)
