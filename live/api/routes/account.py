"""An account's owner looks after it; sessions alone may, no API key."""

from typing import Annotated

from fastapi import APIRouter, Path, Query
from pydantic import SecretStr

from live.api.access_forms import CodeBody, Sent, TokenBody
from live.api.account_forms import (
    CodesLeft,
    DeviceItem,
    DisableTotpBody,
    EventItem,
    Kyc,
    NewEmailBody,
    NewPasswordBody,
    PasswordBody,
    Profile,
    RecoveryCodes,
    SessionItem,
    TotpSecret,
    WalletLinkBody,
    WalletUnlinkBody,
)
from live.api.answers import PageOf
from live.api.auth import From, needs
from live.api.problems import documented
from live.api.services import Using
from live.api.wording import worded
from live.identity.principal import Principal, Scope
from live.wallets.addresses import as_written

router = APIRouter(prefix="/account", tags=["account"], responses=documented(401, 403))
Mine = Annotated[Principal, needs(Scope.ACCOUNT)]
SessionId = Annotated[
    str,
    Path(
        pattern=worded(r"^s[a-z2-7]{20}$", "a session's id: s and 20 characters"),
        examples=["sabcdefghijklmnopqrst"],
    ),
]
DeviceId = Annotated[
    str,
    Path(
        pattern=worded(r"^d[a-z2-7]{20}$", "a device's id: d and 20 characters"),
        examples=["dabcdefghijklmnopqrst"],
    ),
]
_PAGE = 50


def _plain(password: SecretStr | None) -> str | None:
    return None if password is None else password.get_secret_value()


@router.get("/profile", summary="Who am I?")
async def get_profile(mine: Mine, using: Using) -> Profile:
    """Say who the account is, and what opens it."""
    account = await using.identity.accounts.by_id(mine.user)
    return Profile(
        user=account.id,
        email=account.email,
        wallet_address=None if account.wallet_address is None else as_written(account.wallet_address),
        has_password=account.password_hash is not None,
        has_totp=account.has_totp,
        kyc_status=await using.identity.accounts.kyc_status(mine.user),
        role=mine.role,
        created_at=account.created_at,
    )


@router.get("/kyc", summary="How far is my identity checked?")
async def get_kyc(mine: Mine, using: Using) -> Kyc:
    """Give the KYC status, which operators move."""
    status = await using.identity.accounts.kyc_status(mine.user)
    return Kyc.model_validate({"kyc_status": status})


@router.get("/sessions", summary="Where am I logged in?")
async def list_sessions(mine: Mine, using: Using) -> list[SessionItem]:
    """Give the open sessions, newest first."""
    return [
        SessionItem.model_validate(vars(found) | {"ip": str(found.ip), "current": found.id == mine.id})
        for found in await using.identity.sessions.list(mine.user)
    ]


@router.delete(
    "/sessions/{session}", status_code=204, responses=documented(404), summary="End one of my sessions"
)
async def revoke_session(session: SessionId, mine: Mine, using: Using, origin: From) -> None:
    """End a session: its access token is refused within a second, everywhere."""
    await using.identity.sessions.revoke(mine.user, session, origin=origin)


@router.delete("/sessions", status_code=204, summary="End all my other sessions")
async def revoke_sessions(mine: Mine, using: Using, origin: From) -> None:
    """End every session but this one."""
    await using.identity.sessions.revoke_others(mine.user, mine.id, origin)


@router.post("/password", status_code=204, responses=documented(409), summary="Change my password")
async def change_password(body: NewPasswordBody, mine: Mine, using: Using, origin: From) -> None:
    """Change the password. The other sessions, the trusted devices and the API keys end."""
    account = await using.identity.accounts.by_id(mine.user)
    old, new = body.old_password.get_secret_value(), body.new_password.get_secret_value()
    await using.identity.credentials.change_password(account, old, new, body.code, origin, mine.id)


@router.post("/email", status_code=202, summary="Ask for another e-mail address")
async def change_email(body: NewEmailBody, mine: Mine, using: Using, origin: From) -> Sent:
    """Write a letter to the new address, whose token /v1/account/email/confirm takes."""
    identity = using.identity
    account = await identity.accounts.by_id(mine.user)
    identity.credentials.check_email(account, body.email)
    await identity.log_in.check_password(account, _plain(body.password), origin, mine.id)
    await identity.second_factor.check_if_enrolled(account, body.code, origin)
    await identity.credentials.ask_for_email(account, body.email)
    return Sent()


@router.post("/email/confirm", status_code=204, summary="Confirm my new e-mail address")
async def confirm_email(body: TokenBody, mine: Mine, using: Using, origin: From) -> None:
    """Give the account the address whose letter held the token."""
    account = await using.identity.accounts.by_id(mine.user)
    await using.identity.credentials.set_email(account, body.token, origin)


@router.post("/wallet", status_code=204, responses=documented(409), summary="Link a wallet to log in with")
async def link_wallet(body: WalletLinkBody, mine: Mine, using: Using, origin: From) -> None:
    """Link the wallet that signed a message as for a log-in."""
    identity = using.identity
    account = await identity.accounts.by_id(mine.user)
    await identity.wallets.check_linkable(account, body.message, body.signature, origin)
    await identity.log_in.check_password(account, _plain(body.password), origin, mine.id)
    await identity.second_factor.check_if_enrolled(account, body.code, origin)
    await identity.wallets.link(account, body.message, body.signature, origin)


@router.post("/wallet/unlink", status_code=204, responses=documented(404, 409), summary="Unlink my wallet")
async def unlink_wallet(body: WalletUnlinkBody, mine: Mine, using: Using, origin: From) -> None:
    """Let the wallet log in no more and end the other sessions; an account that has no password keeps it."""
    identity = using.identity
    account = await identity.accounts.by_id(mine.user)
    identity.wallets.check_unlinkable(account)
    await identity.log_in.check_password(account, _plain(body.password), origin, mine.id)
    await identity.second_factor.check_if_enrolled(account, body.code, origin)
    await identity.wallets.unlink(account, origin, mine.id)


@router.post("/totp", responses=documented(409), summary="Begin to enrol an authenticator")
async def enrol_totp(body: PasswordBody, mine: Mine, using: Using, origin: From) -> TotpSecret:
    """Give a secret, shown once; it counts after /v1/account/totp/confirm has had a code of it."""
    account = await using.identity.accounts.by_id(mine.user)
    await using.identity.log_in.check_password(account, _plain(body.password), origin, mine.id)
    made = await using.identity.second_factor.enrol(account)
    return TotpSecret(secret=made.secret, uri=made.uri)


@router.post("/totp/confirm", responses=documented(409), summary="Confirm my authenticator")
async def confirm_totp(body: CodeBody, mine: Mine, using: Using, origin: From) -> RecoveryCodes:
    """Let the authenticator count from now on; gives the recovery codes, shown once."""
    return RecoveryCodes(codes=await using.identity.second_factor.confirm(mine.user, body.code, origin))


@router.post("/totp/disable", status_code=204, summary="Do without an authenticator")
async def disable_totp(body: DisableTotpBody, mine: Mine, using: Using, origin: From) -> None:
    """Forget the authenticator, the recovery codes and the trusted devices."""
    account = await using.identity.accounts.by_id(mine.user)
    await using.identity.log_in.check_password(account, _plain(body.password), origin, mine.id)
    await using.identity.second_factor.disable(mine.user, body.code, origin)


@router.get("/recovery-codes", summary="How many recovery codes have I left?")
async def count_recovery_codes(mine: Mine, using: Using) -> CodesLeft:
    """Count the unused ones."""
    return CodesLeft(left=await using.identity.second_factor.recovery.left(mine.user))


@router.post("/recovery-codes", summary="Make new recovery codes")
async def renew_recovery_codes(body: CodeBody, mine: Mine, using: Using, origin: From) -> RecoveryCodes:
    """Give new codes, shown once, in the place of all earlier ones."""
    return RecoveryCodes(codes=await using.identity.second_factor.renew_codes(mine.user, body.code, origin))


@router.get("/devices", summary="Which devices do I trust?")
async def list_devices(mine: Mine, using: Using) -> list[DeviceItem]:
    """Give the devices that need no second factor, newest first."""
    return [DeviceItem.model_validate(vars(found)) for found in await using.identity.devices.list(mine.user)]


@router.delete(
    "/devices/{device}", status_code=204, responses=documented(404), summary="Trust a device no more"
)
async def revoke_device(device: DeviceId, mine: Mine, using: Using, origin: From) -> None:
    """Have the device asked for the second factor again; its sessions go on."""
    await using.identity.devices.revoke(mine.user, device)
    await using.identity.events.add(mine.user, "DEVICE_REMOVED", origin, device)


@router.get("/security-events", summary="What happened to my account's ways in?")
async def list_security_events(
    mine: Mine, using: Using, before: Annotated[int | None, Query(ge=1, le=2**63 - 1, examples=[12])] = None
) -> PageOf[EventItem]:
    """Give log-ins and their ends, changes of what opens the account, and failures, newest first, fifty at a time.

    Failures are wrong codes, wrong passwords shown in a session, and refresh tokens that came twice. Wrong passwords
    at the log-in are not among them: anybody can give those.
    """
    found = await using.identity.events.latest(mine.user, before, _PAGE)
    items = [
        EventItem.model_validate(vars(event) | {"ip": None if event.ip is None else str(event.ip)})
        for event in found
    ]
    return PageOf(items=items, next=items[-1].id if len(items) == _PAGE else None)
