"""API keys: made, listed, rotated and revoked by the account's owner in a session."""

from typing import Annotated

from fastapi import APIRouter, Path

from live.api.account_forms import KeyItem, KeyWithSecret, NewKeyBody, RotateBody
from live.api.auth import From, needs
from live.api.problems import documented
from live.api.services import Using
from live.api.wording import worded
from live.identity.principal import Principal, Scope

router = APIRouter(prefix="/keys", tags=["keys"], responses=documented(401, 403))
Mine = Annotated[Principal, needs(Scope.ACCOUNT)]
KeyId = Annotated[
    str,
    Path(
        pattern=worded(r"^k[a-z2-7]{20}$", "an API key's id: k and 20 characters"),
        examples=["kabcdefghijklmnopqrst"],
    ),
]


@router.get("", summary="Which API keys have I?")
async def list_keys(mine: Mine, using: Using) -> list[KeyItem]:
    """Give the keys that work, newest first, without their secrets."""
    return [KeyItem.of(key) for key in await using.identity.keys.list(mine.user)]


@router.post("", status_code=201, responses=documented(409), summary="Make an API key")
async def create_key(body: NewKeyBody, mine: Mine, using: Using, origin: From) -> KeyWithSecret:
    """Make a key and show its secret, once. Where there is an authenticator it takes a code.

    A key that may withdraw must name the networks it is used from.
    """
    identity = using.identity
    account = await identity.accounts.by_id(mine.user)
    scopes = [Scope(scope) for scope in body.scopes]
    await identity.keys.check_new(mine.user, body.name, scopes, body.networks)
    await identity.second_factor.check_if_enrolled(account, body.code, origin)
    made = await identity.keys.create(mine.user, body.name, scopes, body.networks, origin)
    return KeyWithSecret.new(made)


@router.post("/{key}/rotate", responses=documented(404, 409), summary="Change a key's secret")
async def rotate_key(key: KeyId, body: RotateBody, mine: Mine, using: Using, origin: From) -> KeyWithSecret:
    """Give the key another secret, shown once; the one before works for ``grace_s`` more seconds."""
    account = await using.identity.accounts.by_id(mine.user)
    await using.identity.keys.check_rotation(mine.user, key, body.grace_s)
    await using.identity.second_factor.check_if_enrolled(account, body.code, origin)
    return KeyWithSecret.new(await using.identity.keys.rotate(mine.user, key, body.grace_s, origin))


@router.delete("/{key}", status_code=204, responses=documented(404), summary="Revoke an API key")
async def revoke_key(key: KeyId, mine: Mine, using: Using, origin: From) -> None:
    """End the key: it is refused within a second, everywhere."""
    await using.identity.keys.revoke(mine.user, key, origin)
