"""Which field or header of a request is meant where what lies below the forms refuses it: its message begins so."""

import re
from dataclasses import fields

from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.types import Scope

from live.api.problems import FieldError, Problem
from risk.settings import RiskConfig, RoutingConfig

_HEADER = re.compile(r"(Authorization|HP-[A-Z-]+) ")
_FIRST = re.compile(r"([a-z_]+)[\w.\[\]]*:? ")
_FIELDS = (401, 422)  # a password or a code that is wrong, or what has no such value
_CHANGES = "changes"  # the field that holds settings by name
_SETTINGS = frozenset(each.name for kind in (RiskConfig, RoutingConfig) for each in fields(kind))


def name_field(problem: Problem, scope: Scope) -> None:
    """Have a problem name what its detail begins with: a header, or a field that the request's route has."""
    if problem.status not in _FIELDS or problem.errors:
        return
    place = _found(problem.detail, scope.get("route"))
    if place is not None:
        problem.errors = [FieldError(field=place, detail=problem.detail)]


def _found(detail: str, route: object) -> str | None:
    if header := _HEADER.match(detail):
        return f"header.{header[1]}"
    found = _FIRST.match(detail)
    if found is None or not isinstance(route, APIRoute):
        return None
    return _place(found[1], _places(route.dependant))


def _place(name: str, places: dict[str, str]) -> str | None:
    if name in _SETTINGS and _CHANGES in places and name not in places:
        return f"{places[_CHANGES]}.{name}"
    return places.get(name) or places.get(
        f"new_{name}"
    )  # a password or an address in the place of the last one


def _places(known: Dependant) -> dict[str, str]:
    """Return where the fields of a request stand, by name."""
    found: dict[str, str] = {}
    for place, params in (
        ("body", known.body_params),
        ("query", known.query_params),
        ("path", known.path_params),
    ):
        for param in params:
            kind = param.field_info.annotation
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                found |= {name: f"{place}.{name}" for name in kind.model_fields}
            else:
                found[param.alias] = f"{place}.{param.alias}"
    return found
