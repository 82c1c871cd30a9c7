"""Register, log in and out, and come back when something was lost."""

from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.requests import Request

from live.api.access_forms import (
    AccessToken,
    CodeBody,
    EmailBody,
    LogInAnswer,
    LogInBody,
    Nonce,
    RefreshBody,
    Registered,
    SecondFactorBody,
    Sent,
    SessionTokens,
    VerifyBody,
    WalletLogInBody,
    log_in_answer,
)
from live.api.auth import From, needs
from live.api.problems import documented
from live.api.rates import address_of
from live.api.services import Using
from live.identity.principal import Principal, Scope


async def _charge(request: Request, using: Using) -> None:
    """Count an attempt: what anybody may ask is asked less often."""
    await using.rates.charge(
        request.scope, "login", address_of(request.client.host if request.client else "")
    )


async def _charge_letter(request: Request, using: Using) -> None:
    """Count a letter to whatever address: one place fills no strangers' mailboxes."""
    await _charge(request, using)
    await using.rates.charge(
        request.scope, "letters", address_of(request.client.host if request.client else "")
    )


router = APIRouter(prefix="/auth", tags=["auth"])
_OPEN, _LETTER = [Depends(_charge)], [Depends(_charge_letter)]
Mine = Annotated[Principal, needs(Scope.ACCOUNT)]


@router.post("/register", status_code=202, dependencies=_LETTER, summary="Ask for an account")
async def register(body: EmailBody, using: Using) -> Sent:
    """Write a letter to the address: with a token for /v1/auth/verify-email if it has no account.

    The answer is the same if it has one; then the letter says so.
    """
    await using.identity.registration.register(body.email)
    return Sent()


@router.post(
    "/verify-email",
    status_code=201,
    dependencies=_OPEN,
    responses=documented(401),
    summary="Make the account of an address",
)
async def verify_email(body: VerifyBody, using: Using, origin: From) -> Registered:
    """Make the account with the letter's token, and the password that will open it."""
    made = await using.identity.registration.verify(body.token, body.password.get_secret_value(), origin)
    return Registered(user=made.id, email=made.email or "")


@router.post(
    "/login", dependencies=_OPEN, responses=documented(401, 504), summary="Log in with address and password"
)
async def log_in(body: LogInBody, using: Using, origin: From) -> LogInAnswer:
    """Begin a session, or ask for the second factor where there is one and the device is not trusted.

    After five failures an address is locked for a minute, whether it has an account or not, then longer and longer.
    """
    password = body.password.get_secret_value()
    found = await using.identity.log_in.with_password(body.email, password, origin, body.device_token)
    return log_in_answer(found)


@router.post(
    "/login/totp", dependencies=_OPEN, responses=documented(401, 504), summary="Give the second factor"
)
async def log_in_with_totp(body: SecondFactorBody, using: Using, origin: From) -> SessionTokens:
    """Begin the session of a challenge. Each code counts once, one step of 30 s early or late at most."""
    found = await using.identity.log_in.with_code(body.challenge, body.code, origin, body.trust_device_as)
    return SessionTokens.of(found.tokens, found.device_token)


@router.post("/wallet/nonce", dependencies=_OPEN, summary="Begin a log-in with a wallet")
async def create_wallet_nonce(using: Using) -> Nonce:
    """Give what the message to be signed must hold."""
    wallets = using.identity.wallets
    nonce, expires_in = await wallets.nonce()
    return Nonce(nonce=nonce, domain=wallets.domain, uri=wallets.public_url, expires_in=expires_in)


@router.post(
    "/wallet/login", dependencies=_OPEN, responses=documented(401, 504), summary="Log in with a wallet"
)
async def log_in_with_wallet(body: WalletLogInBody, using: Using, origin: From) -> LogInAnswer:
    """Begin a session with a signed EIP-4361 message; the first one makes the wallet's account."""
    found = await using.identity.wallets.log_in(body.message, body.signature, origin, body.device_token)
    return log_in_answer(found)


# Charged by address alone, as every request is: its token cannot be guessed, and many users share an address.
@router.post("/refresh", responses=documented(401), summary="Get new tokens")
async def refresh_tokens(body: RefreshBody, using: Using, origin: From) -> SessionTokens:
    """Change the refresh token for new tokens; one that comes a second time ends its session."""
    return SessionTokens.of(await using.identity.sessions.refresh(body.refresh_token, origin))


@router.post("/logout", status_code=204, responses=documented(401, 403, 404), summary="End this session")
async def log_out(mine: Mine, using: Using, origin: From) -> None:
    """End the session whose access token this is."""
    await using.identity.sessions.revoke(mine.user, mine.id, "LOG_OUT", origin)


@router.post(
    "/second-factor", responses=documented(401, 403), summary="Give the second factor again in a session"
)
async def give_second_factor(body: CodeBody, mine: Mine, using: Using, origin: From) -> AccessToken:
    """Note in the session that a second factor was just given: some acts want it to be recent."""
    await using.identity.second_factor.check(mine.user, body.code, origin)
    token, expires_in = await using.identity.sessions.step_up(mine)
    return AccessToken(access_token=token, expires_in=expires_in)


@router.post(
    "/password/forgot",
    status_code=202,
    dependencies=_LETTER,
    summary="Ask for a letter to set another password",
)
async def forgot_password(body: EmailBody, using: Using) -> Sent:
    """Write a letter to the address, with a token for /v1/auth/password/reset if it has an account."""
    await using.identity.registration.forgot(body.email)
    return Sent()


@router.post(
    "/password/reset",
    status_code=204,
    dependencies=_OPEN,
    responses=documented(401),
    summary="Set another password with a letter's token",
)
async def reset_password(body: VerifyBody, using: Using, origin: From) -> None:
    """Set the password. All sessions, trusted devices and API keys end, and a wallet linked beside an old password.

    The authenticator stays.
    """
    await using.identity.credentials.reset_password(body.token, body.password.get_secret_value(), origin)
