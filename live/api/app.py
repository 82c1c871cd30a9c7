"""The application: all routes, what every request goes through, and the document that describes it."""

import importlib
import pkgutil

from fastapi import FastAPI

from live.api import problems, routes
from live.api.middleware.request_id import RequestId
from live.api.services import Services

PREFIX = "/v1"
_EVERY_ROUTE = (400, 413, 415, 422, 429, 500, 503)


def create_app(services: Services) -> FastAPI:
    """Return the application over what ``open_services`` opened.

    Every module of ``live.api.routes`` with a ``router`` is included under /v1; one that says ``DEV_ONLY`` is
    there in development alone.
    """
    app = FastAPI(title="Hybrid Perps", version="1", responses=problems.documented(*_EVERY_ROUTE))
    app.state.services = services
    problems.install(app)
    for found in pkgutil.iter_modules(routes.__path__, routes.__name__ + "."):
        module = importlib.import_module(found.name)
        if hasattr(module, "router") and (services.dev or not getattr(module, "DEV_ONLY", False)):
            app.include_router(module.router, prefix=PREFIX)
    app.add_middleware(RequestId)
    return app
