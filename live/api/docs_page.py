"""The page at /docs: Swagger UI from a package of ours, so that a browser loads nothing from anywhere else."""

import base64
import re
from hashlib import sha256
from importlib.metadata import version
from importlib.resources import files

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from live.api.document import PATH

_PACKAGE = "fastapi-offline"  # it carries Swagger UI; nothing else of it is used
_SCRIPT, _STYLE = "swagger-ui-bundle.js", "swagger-ui.css"
_TYPES = {_SCRIPT: "text/javascript", _STYLE: "text/css"}
_NO_ICON = "data:,"
_KEPT = {"Cache-Control": "public, max-age=31536000, immutable"}  # the address has the version


def show(app: FastAPI) -> None:
    """Give ``app`` its page at /docs, and the files that it needs."""
    release = version(_PACKAGE)
    page = get_swagger_ui_html(
        openapi_url=PATH,
        title=app.title,
        swagger_js_url=f"/docs/{_SCRIPT}?{release}",
        swagger_css_url=f"/docs/{_STYLE}?{release}",
        swagger_favicon_url=_NO_ICON,
    )
    page.headers["Content-Security-Policy"] = _policy(bytes(page.body).decode())

    async def docs(_: Request) -> HTMLResponse:
        return page

    app.add_route("/docs", docs, include_in_schema=False)
    for name, kind in _TYPES.items():
        _serve(app, name, kind)


def _serve(app: FastAPI, name: str, kind: str) -> None:
    content = files("fastapi_offline").joinpath("static", name).read_bytes()

    async def file(_: Request) -> Response:
        return Response(content, media_type=kind, headers=_KEPT)

    app.add_route(f"/docs/{name}", file, include_in_schema=False)


def _policy(page: str) -> str:
    """Let the page load our own files, and run its own script but no other's."""
    scripts = [
        base64.b64encode(sha256(script.encode()).digest()).decode()
        for script in re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    ]
    hashes = " ".join(f"'sha256-{script}'" for script in scripts)
    return (
        f"default-src 'none'; script-src 'self' {hashes}; style-src 'self'; connect-src 'self'; "
        "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
