"""Sign requests to requester-pays S3 buckets (AWS Signature Version 4), with nothing but the key.

One GET needs thirty lines; an SDK would bring a hundred megabytes. The rules are those of the Amazon S3
API reference, "Authenticating Requests: Using the Authorization Header", whose example is a test.
"""

import hashlib
import hmac
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self
from urllib.parse import quote

import httpx

from risk.errors import InvalidInput

_EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()


def utc_now() -> datetime:
    """Read the wall clock, which a signature must carry."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class S3Auth(httpx.Auth):
    """Sign every GET of a client; the owner of the key pays for the transfer."""

    key_id: str
    secret: str
    region: str
    token: str | None = None
    requester_pays: bool = True
    now: Callable[[], datetime] = utc_now

    @classmethod
    def from_environment(cls, region: str, environment: Mapping[str, str]) -> Self:
        """Take the key from AWS's usual variables; raise InvalidInput when they are not set."""
        key_id, secret = environment.get("AWS_ACCESS_KEY_ID"), environment.get("AWS_SECRET_ACCESS_KEY")
        if not key_id or not secret:
            raise InvalidInput(
                "AWS_ACCESS_KEY_ID or AWS_SECRET_ACCESS_KEY was not set; Hyperliquid's archive is "
                "requester-pays, so its transfer is billed to an AWS account"
            )
        return cls(key_id, secret, region, environment.get("AWS_SESSION_TOKEN"))

    def __repr__(self) -> str:
        return f"S3Auth(region={self.region!r})"

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response]:
        """Add the signature to a request without a body, whose query must be empty."""
        stamp = f"{self.now():%Y%m%dT%H%M%SZ}"
        request.headers["x-amz-date"] = stamp
        request.headers["x-amz-content-sha256"] = _EMPTY_SHA256
        if self.requester_pays:
            request.headers["x-amz-request-payer"] = "requester"
        if self.token:
            request.headers["x-amz-security-token"] = self.token
        signed = {
            name: value.strip()
            for name, value in sorted(request.headers.items())
            if name in ("host", "range") or name.startswith("x-amz-")
        }
        names = ";".join(signed)
        lines = "".join(f"{name}:{value}\n" for name, value in signed.items())
        path = quote(request.url.path, safe="/~")
        canonical = f"{request.method}\n{path}\n\n{lines}\n{names}\n{_EMPTY_SHA256}"
        scope = f"{stamp[:8]}/{self.region}/s3/aws4_request"
        digest = hashlib.sha256(canonical.encode()).hexdigest()
        signature = _hmac(self._signing_key(scope), f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{digest}").hex()
        request.headers["Authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={self.key_id}/{scope},SignedHeaders={names},Signature={signature}"
        )
        yield request

    def _signing_key(self, scope: str) -> bytes:
        key = f"AWS4{self.secret}".encode()
        for part in scope.split("/"):
            key = _hmac(key, part)
        return key


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()
