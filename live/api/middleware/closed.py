"""While the service is closed (rulebook §10, level 3) users are told so, and nothing of theirs reaches the books."""

from live.api.problems import Problem

_OPEN = frozenset(("/health", "/ready", "/metrics", "/docs", "/openapi.json"))
_OPEN_UNDER = ("/v1/auth/", "/v1/operator/", "/docs/")  # who is to open it again must be let in
_RETRY_AFTER_S = "30"


def check_open(path: str) -> None:
    """Raise Problem, 503, for what is not served then; the stream refuses by itself, in its own words."""
    if path not in _OPEN and not path.startswith(_OPEN_UNDER):
        raise Problem(
            503,
            "service-closed",
            "the service is closed for now, and nothing was done; come back with the same key",
            headers={"Retry-After": _RETRY_AFTER_S},
        )
