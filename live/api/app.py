"""The application: all routes, what every request goes through, and the document that describes it."""

import importlib
import pkgutil

from fastapi import FastAPI
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from live.api import document, problems, routes
from live.api.middleware.bodies import Bodies
from live.api.middleware.closed import Closed
from live.api.middleware.errors import Errors
from live.api.middleware.observed import Observed
from live.api.middleware.rate_limits import RateLimits
from live.api.middleware.request_id import RequestId
from live.api.middleware.security_headers import SecurityHeaders
from live.api.services import Services

PREFIX = "/v1"
# The framework tries every route before the one that matches, which for the last takes longer than all else it does.
_FIRST = ("trading", "history")
_EVERY_ROUTE = (400, 413, 415, 422, 429, 500, 503)


def create_app(services: Services) -> FastAPI:
    """Return the application over what ``open_services`` opened.

    Every module of ``live.api.routes`` with a ``router`` is included under /v1, or its own ``PREFIX``; one that
    says ``DEV_ONLY`` is there in development alone.
    """
    app = FastAPI(
        title="Hybrid Perps",
        version="1",
        description=document.DESCRIPTION,
        responses=problems.documented(*_EVERY_ROUTE),
        openapi_url=document.PATH,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.services = services
    problems.install(app)
    document.describe(app)
    names = [found.name for found in pkgutil.iter_modules(routes.__path__)]
    for name in sorted(names, key=lambda name: (name not in _FIRST, name)):
        module = importlib.import_module(f"{routes.__name__}.{name}")
        if hasattr(module, "router") and (services.dev or not getattr(module, "DEV_ONLY", False)):
            app.include_router(module.router, prefix=getattr(module, "PREFIX", PREFIX))
    _wrap(app, services)
    return app


def _wrap(app: FastAPI, services: Services) -> None:
    """Put the middleware around the routes, the innermost first."""
    app.add_middleware(Bodies, largest=services.settings.max_body_bytes)
    app.add_middleware(Closed, level=services.service_level)
    app.add_middleware(Errors)
    app.add_middleware(RateLimits, rates=services.rates)
    app.add_middleware(SecurityHeaders)
    app.add_middleware(Observed, metrics=services.metrics)
    app.add_middleware(RequestId)
    if services.settings.trusted_proxies:
        trusted = [str(network) for network in services.settings.trusted_proxies]
        app.add_middleware(ProxyHeadersMiddleware, trusted_hosts=trusted)
