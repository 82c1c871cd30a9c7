"""Whatever is wrong in a form is told in our own words: every form, every field, every wrong kind of value."""

import importlib
import json
import pkgutil
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.dependencies.models import Dependant
from fastapi.dependencies.utils import request_params_to_args
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, SecretStr, ValidationError
from starlette.datastructures import Headers, QueryParams

from live.api import routes
from live.api.problems import problem_of
from live.api.wording import UNFORESEEN, wrong

LONG, DEEP = "long and secret " * 400, {"a": {"b": [{"c": None}]}}
JSON_VALUES: list[Any] = [
    None,
    True,
    0,
    -1,
    7,
    2**63,
    10**30,
    1.0,
    1.5,
    -0.5,
    1e300,
    "",
    " ",
    "x",
    "0",
    "-1",
    "1e5",
]
JSON_VALUES += [
    "\0",
    "ä",
    "\ud800",
    LONG,
    "9" * 400,
    [],
    [1],
    [None],
    ["x"],
    ["READ"] * 4,
    ["x"] * 200,
    {},
    DEEP,
]
JSON_VALUES += [{str(number): 1 for number in range(200)}, {"\ud800": 1}]
TEXTS = [
    "",
    " ",
    "x",
    "-1",
    "0",
    "1.5",
    "9" * 19,
    "9" * 5000,
    "true",
    "\0",
    "ä",
    "null",
    "[]",
    "2026-99-01",
    LONG,
]


def all_routes() -> Iterator[APIRoute]:
    for found in pkgutil.iter_modules(routes.__path__):
        router = getattr(importlib.import_module(f"{routes.__name__}.{found.name}"), "router", None)
        yield from (each for each in getattr(router, "routes", ()) if isinstance(each, APIRoute))


ROUTES = list(all_routes())
FORMS: set[Any] = {param.field_info.annotation for route in ROUTES for param in route.dependant.body_params}


def told(errors: list[Any]) -> None:
    """Look at what is told of errors: all of it ours, and no secret in it."""
    shown = problem_of(RequestValidationError(errors)).errors
    assert len(shown) == min(len(errors), 50) > 0
    for error, field in zip(errors[:50], shown, strict=True):
        if error["type"] != "value_error":
            assert field.detail != error["msg"], error
        assert field.detail != UNFORESEEN, error
        for raw in (
            "Input should",
            "Field required",
            "Extra inputs",
            "Value error",
            "valid",
            "pydantic",
            "{",
        ):
            assert raw not in field.detail, (error, field)
        assert "must " in field.detail or "belongs" in field.detail or "leave it out" in field.detail, field
        assert "long and secret" not in field.detail
        assert len(field.detail) < 250, field
        field.detail.encode()


@pytest.mark.parametrize(
    "form", sorted(FORMS, key=str), ids=[form.__name__ for form in sorted(FORMS, key=str)]
)
def test_all_that_can_be_wrong_in_a_body_is_told_in_our_words(form: type[BaseModel]) -> None:
    wrong_ones = 0
    bodies: list[Any] = [*JSON_VALUES, {"nonsense": 1}]
    bodies += [{name: value} for name in form.model_fields for value in JSON_VALUES]
    for body in bodies:
        if not isinstance(body, dict) or body:
            wrong_ones += _tell(form, body)
    assert wrong_ones > len(JSON_VALUES)


def _tell(form: type[BaseModel], body: Any) -> int:
    """Have a form look at a body as a framework's route does, and as a lean one; return how often it was refused."""
    refused = 0
    as_text = json.dumps(body)
    for read, given in ((form.model_validate, body), (form.model_validate_json, as_text)):
        try:
            read(given)
        except ValidationError as error:
            errors = error.errors(include_url=False)
            if errors[0]["type"] != "json_invalid":
                told(errors)
            refused += 1
    return refused


def test_all_that_can_be_wrong_in_a_query_path_or_header_is_told_in_our_words() -> None:
    kinds = set()
    for route in ROUTES:
        known: Dependant = route.dependant
        for params, of in (
            (known.query_params, lambda name, text: QueryParams({name: text})),
            (known.path_params, lambda name, text: {name: text}),
            (known.header_params, lambda name, text: Headers({name: text})),
        ):
            names = {name for param in params for name in _names(param.field_info.annotation, param.alias)}
            for name in names | {"nonsense"} if params else ():
                for text in TEXTS:
                    if "ä" in text or "\0" in text if params is known.header_params else False:
                        continue
                    _, errors = request_params_to_args(params, of(name, text))
                    if errors:
                        told(errors)
                        kinds |= {error["type"] for error in errors}
    assert {"missing", "extra_forbidden", "int_parsing", "literal_error", "string_pattern_mismatch"} <= kinds


def _names(kind: Any, alias: str) -> list[str]:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return [field.alias or name for name, field in kind.model_fields.items()]
    return [alias]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        ({"type": "string_type", "input": 3}, "must be text; it was a number"),
        ({"type": "int_type", "input": None}, "must be a whole number; it was null"),
        ({"type": "bool_type", "input": "yes"}, "must be true or false; it was text"),
        ({"type": "dict_type", "input": []}, "must be an object; it was a list"),
        ({"type": "greater_than_equal", "input": 0, "ctx": {"ge": 1}}, "was 0; it must be 1 or more"),
        (
            {"type": "string_too_short", "input": "", "ctx": {"min_length": 1}},
            "had 0 characters; it must have at least 1 character",
        ),
        (
            {"type": "literal_error", "input": "buy", "ctx": {"expected": "'BUY' or 'SELL'"}},
            "was 'buy'; it must be 'BUY' or 'SELL'",
        ),
        (
            {"type": "literal_error", "input": LONG, "ctx": {"expected": "'BUY' or 'SELL'"}},
            "must be 'BUY' or 'SELL'",
        ),
        ({"type": "never_heard_of", "input": LONG, "msg": "Input should be secret"}, UNFORESEEN),
    ],
)
def test_what_was_given_is_told_and_what_would_be_right(error: dict[str, Any], words: str) -> None:
    assert wrong(error) == words


def test_a_password_is_never_shown() -> None:
    secrets = [form for form in FORMS if any("SecretStr" in str(each) for each in form.model_fields.values())]
    assert len(secrets) >= 5
    for form in secrets:
        for name, field in form.model_fields.items():
            if field.annotation is SecretStr:
                for given in ("hunter2\ud800", "hunter2" * 100, ["hunter2"], {"hunter2": "hunter2"}):
                    with pytest.raises(ValidationError) as caught:
                        form.model_validate({name: given})
                    errors = [each for each in caught.value.errors() if each["loc"][0] == name]
                    assert errors
                    assert all("hunter2" not in wrong(each) for each in errors)
                    assert all("item" not in wrong(each) for each in errors)
