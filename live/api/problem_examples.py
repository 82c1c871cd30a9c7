"""Examples of problems for the OpenAPI document: to each status of each operation a code that it may have there."""

from collections.abc import Iterator
from typing import Any

import msgspec

from live.api.idempotency import HEADER
from live.api.problems import MEDIA_TYPE, REUSED, FieldError, Problem, problem_of, problem_response
from live.identity.errors import wrong_credentials, wrong_token

_INSTANCE = "5f0c2c3e9a1b4d6f8e7a"
_ANYWHERE = {
    400: Problem(400, "malformed", "Content-Length must be a number"),
    404: Problem(404, "not-found", "Not Found"),
    409: Problem(409, "already-so", "that is so already"),
    413: Problem(413, "too-large", "the body was larger than 65536 bytes"),
    415: Problem(415, "unsupported-media-type", "Content-Type was 'text/plain'; it must be application/json"),
    426: Problem(426, "upgrade-required", "this is a WebSocket: connect with Upgrade: websocket"),
    429: Problem(429, "too-many-requests", "more than 60 requests in 60 s; try again in 12 s"),
    500: problem_of(Exception()),
    503: Problem(503, "database-unavailable", "the database does not answer; try again shortly"),
    504: Problem(504, "outcome-unknown", "nobody knows yet; ask again with the same key"),
}
_NOT_LOGGED_IN = Problem(
    401, "not-authenticated", "log in and send Authorization: Bearer, or sign with an API key, not both"
)
_NO_SCOPE = Problem(403, "scope-missing", "the API key lacks the scope READ")
_NO_ROLE = Problem(403, "role-missing", "this is for operators: any")
_KEY_REUSED = Problem(409, "key-reused", REUSED, errors=[FieldError(field=f"header.{HEADER}", detail=REUSED)])
_NOT_THERE = {  # by the last name in the path
    "address": "not-listed",
    "address_id": "unknown-address",
    "device": "no-such-device",
    "key": "no-such-key",
    "order_id": "unknown-order",
    "position_id": "unknown-position",
    "proposal_id": "unknown-proposal",
    "session": "no-such-session",
    "symbol": "unknown-symbol",
    "user": "unknown-user",
    "withdrawal_id": "unknown-withdrawal",
}
_OF_OPERATION = {  # where neither a path, a key nor what stands already tells
    ("change_password", 409): ("no-password", "the account has no password; give it an e-mail address first"),
    ("link_wallet", 409): ("wallet-taken", "the wallet is another account's"),
    ("unlink_wallet", 404): ("no-wallet", "the account has no wallet"),
    ("unlink_wallet", 409): ("only-way-in", "the wallet alone opens the account; set a password first"),
    ("enrol_totp", 409): ("totp-enrolled", "an authenticator is enrolled already; disable it first"),
    ("confirm_totp", 409): (
        "totp-not-begun",
        "no authenticator is being enrolled; begin with its secret",
    ),
    ("log_in_with_totp", 401): (
        "wrong-challenge",
        "challenge is unknown, expired, or was used; log in again",
    ),
    ("log_in_with_wallet", 401): (
        "wrong-wallet-message",
        "the wallet's message was refused: its nonce is unknown, expired, or was used before; ask for another",
    ),
    ("log_out", 404): ("no-such-session", "there is no such session"),
    ("move_market", 409): ("no-market", "this market cannot be moved"),
    ("create_key", 409): ("too-many-keys", "the account has 50 API keys, the most there may be"),
    ("rotate_key", 409): ("key-too-wide", "the API key cannot be rotated, make another and revoke it"),
    ("get_wallet", 404): (
        "not-in-books",
        "the books do not know you yet: verify your e-mail address first",
    ),
    ("request_withdrawal", 404): ("unknown-address", "address_id was 7; no such address is in your book"),
    ("confirm_withdrawal", 409): ("withdrawal-refused", "the withdrawal was cancelled, refused, or expired"),
    ("add_address", 409): ("address-known", "the address is in the book as 'mine'"),
    ("operator_approve_proposal", 409): ("proposal-decided", "the proposal was REJECTED; it is decided"),
    ("operator_reject_proposal", 409): ("proposal-decided", "the proposal was EXECUTED; it is decided"),
    ("operator_withdraw_proposal", 409): ("proposal-decided", "the proposal was EXECUTED; it is decided"),
}


def give_problem_examples(document: dict[str, Any]) -> None:
    """Give every problem of the document an example with its own status and a code that is answered there."""
    for methods in document["paths"].values():
        for operation in methods.values():
            for status, answer in operation["responses"].items():
                told = answer.get("content", {}).get(MEDIA_TYPE)
                if told is not None:
                    problem = _problem(int(status), operation, document)
                    told["example"] = msgspec.json.decode(problem_response(problem, _INSTANCE).body)


def _problem(status: int, operation: dict[str, Any], document: dict[str, Any]) -> Problem:
    parameters = operation.get("parameters", [])
    if (found := _OF_OPERATION.get((operation["operationId"], status))) is not None:
        return Problem(status, *found)
    if status == 401:
        if operation.get("security"):
            return _NOT_LOGGED_IN
        return problem_of(wrong_credentials() if operation["operationId"] == "log_in" else wrong_token())
    if status == 403:
        return _NO_ROLE if "operators" in operation.get("tags", ()) else _NO_SCOPE
    if status == 404 and (named := [each["name"] for each in parameters if each["in"] == "path"]):
        return Problem(404, _NOT_THERE[named[-1]], f"there is no such {named[-1].removesuffix('_id')}")
    if status == 409 and any(each["name"] == HEADER for each in parameters):
        return _KEY_REUSED
    if status == 422:
        return _invalid(next(_fields(operation, document), "query.unknown"))
    return _ANYWHERE[status]


def _invalid(field: str) -> Problem:
    detail = "is no field of this request; leave it out" if field == "query.unknown" else "must be given"
    return Problem(422, "invalid", f"{field}: {detail}", errors=[FieldError(field=field, detail=detail)])


def _fields(operation: dict[str, Any], document: dict[str, Any]) -> Iterator[str]:
    """Give the fields that a request must have, as problems name them."""
    for content in operation.get("requestBody", {}).get("content", {}).values():
        name = content["schema"].get("$ref", "").rpartition("/")[2]
        schema = document["components"]["schemas"].get(name, {})
        yield from (f"body.{each}" for each in schema.get("required", ()))
    yield from (
        f"{each['in']}.{each['name']}"
        for each in operation.get("parameters", [])
        if each["required"] and each["in"] != "path"
    )
