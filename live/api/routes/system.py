"""Whether the service lives, whether it can work, and what it measures."""

from ipaddress import ip_address

from fastapi import APIRouter
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from live.api.answers import json_answer
from live.api.lean import LeanRequest, lean
from live.api.metrics import CONTENT_TYPE
from live.api.readiness import Check
from live.api.services import Using
from live.api.settings import Network

PREFIX = ""
router = APIRouter(tags=["system"])
_FORWARDED = ("x-forwarded-for", "forwarded")


class Health(BaseModel):
    """Say that the program runs."""

    status: str = Field(examples=["alive"])


class Ready(BaseModel):
    """Say of everything that requests need whether it works."""

    ready: bool
    checks: list[Check]


async def get_health() -> Response:
    """Answer as long as the program runs, whatever it can do."""
    return json_answer({"status": "alive"})


async def _serve_health(_: LeanRequest) -> Response:
    return await get_health()


router.add_api_route(
    "/health",
    get_health,
    summary="Is the program alive?",
    response_model=Health,
    route_class_override=lean(_serve_health),
)


@router.get("/ready", summary="Can requests be served?", responses={503: {"model": Ready}})
async def get_readiness(using: Using, response: Response) -> Ready:
    """Try what requests need: the database, its tables' revision, and the books, at most once a second."""
    checks = await using.readiness.checks()
    well = all(check.well for check in checks)
    if not well:
        response.status_code = 503
        response.headers["Retry-After"] = "1"
    return Ready(ready=well, checks=checks)


@router.get("/metrics", include_in_schema=False)
async def metrics(using: Using, request: Request) -> Response:
    """Give the measures to those who may read them; nobody else learns that they are here."""
    if not _may_read(using.settings.metrics_from, bool(using.settings.trusted_proxies), request):
        raise HTTPException(404)
    return Response(using.metrics.text(), media_type=CONTENT_TYPE)


def _may_read(allowed: tuple[Network, ...], proxied: bool, request: Request) -> bool:
    """Tell whether a client is one of ``allowed``; behind a proxy that is not trusted, nobody knows who it is."""
    if not proxied and any(name in request.headers for name in _FORWARDED):
        return False
    try:
        address = ip_address(request.client.host if request.client else "")
    except ValueError:
        return False
    return any(address in network for network in allowed)
