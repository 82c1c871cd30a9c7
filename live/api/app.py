"""The application: all routes, what every request goes through, and the document that describes it."""

import importlib
import pkgutil

from fastapi import Depends, FastAPI
from fastapi.routing import APIRoute
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from live.api import docs_page, document, problems, routes
from live.api.lean import LeanRoute, LeanRoutes
from live.api.middleware.entrance import Entrance
from live.api.middleware.errors import Errors
from live.api.services import Services
from live.api.unique_names import look_at_names

PREFIX = "/v1"
_EVERY_ROUTE = (400, 413, 415, 422, 429, 500, 503)


class Application(FastAPI):
    """Be the framework's application, which all requests come to through ``entrance``."""

    entrance: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request in."""
        scope["app"] = self
        await self.entrance(scope, receive, send)

    async def framework(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Have the framework serve a request."""
        await super().__call__(scope, receive, send)


def operation_id(route: APIRoute) -> str:
    """Return how a generated client calls a route: its function's name, which for an operator's begins with that."""
    return f"operator_{route.name}" if "operators" in route.tags else route.name


def create_app(services: Services) -> FastAPI:
    """Return the application over what ``open_services`` opened.

    Every module of ``live.api.routes`` with a ``router`` is included under /v1, or its own ``PREFIX``; one that
    says ``DEV_ONLY`` is there in development alone.
    """
    app = Application(
        title="Hybrid Perps",
        version="1",
        description=document.DESCRIPTION,
        responses=problems.documented(*_EVERY_ROUTE),
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=operation_id,
        dependencies=[Depends(look_at_names)],
    )
    app.state.services = services
    problems.install(app)
    document.describe(app)
    docs_page.show(app)
    app.add_middleware(Errors)
    lean: list[tuple[str, LeanRoute]] = []
    for found in pkgutil.iter_modules(routes.__path__):
        module = importlib.import_module(f"{routes.__name__}.{found.name}")
        if hasattr(module, "router") and (services.dev or not getattr(module, "DEV_ONLY", False)):
            prefix = getattr(module, "PREFIX", PREFIX)
            app.include_router(module.router, prefix=prefix)
            lean += [(prefix, route) for route in module.router.routes if isinstance(route, LeanRoute)]
    settings, level = services.settings, services.service_level
    app.entrance = Entrance(
        app.framework,
        LeanRoutes(lean),
        services.rates,
        services.metrics,
        largest_body=settings.max_body_bytes,
        is_closed=lambda: level.closed,
    )
    if settings.trusted_proxies:
        trusted = [str(network) for network in settings.trusted_proxies]
        app.entrance = ProxyHeadersMiddleware(app.entrance, trusted)  # type: ignore[assignment, arg-type]
    return app
