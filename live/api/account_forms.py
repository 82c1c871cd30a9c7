"""What accounts, their ways in and API keys say and answer."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from live.api.access_forms import At, Body, Code, Email, Name, Password, Token, WalletBody
from live.identity.keys import ApiKey, NewKey
from live.identity.principal import Scope


class WalletLinkBody(WalletBody):
    """Link a wallet; ``password`` where the account has one, ``code`` where there is an authenticator."""

    password: Password | None = None
    code: Code | None = None


class PasswordBody(Body):
    """Show the password again; an account without one must have logged in by wallet in the last five minutes."""

    password: Password | None = None


class NewPasswordBody(Body):
    """Change the password; ``code`` where there is an authenticator."""

    old_password: Password
    new_password: Password
    code: Code | None = None


class WalletUnlinkBody(PasswordBody):
    """Unlink the wallet; ``code`` where there is an authenticator."""

    code: Code | None = None


class NewEmailBody(PasswordBody):
    """Name the account's new address; ``code`` where there is an authenticator."""

    email: Email
    code: Code | None = None


class DisableTotpBody(PasswordBody):
    """Disable the authenticator with a code of it, or a recovery code."""

    code: Code


class NewKeyBody(Body):
    """Ask for an API key; no ``networks``: it works from anywhere, but may not withdraw."""

    name: Name
    scopes: Annotated[list[Literal["READ", "TRADE", "WITHDRAW"]], Field(min_length=1, max_length=3)] = Field(
        examples=[["READ", "TRADE"]]
    )
    networks: Annotated[list[Annotated[str, Field(max_length=50)]], Field(max_length=50)] = Field(
        default=[], examples=[["192.0.2.0/24"]]
    )
    code: Code | None = None


class RotateBody(Body):
    """Ask for another secret; the one before works for ``grace_s`` more seconds, at most a day."""

    grace_s: Annotated[int, Field(ge=0, le=86_400, strict=True)] = 0
    code: Code | None = None


class Profile(BaseModel):
    """Say who one is."""

    user: str = Field(examples=["uabcdefghijklmnopqrst"])
    email: str | None = Field(examples=["ann@example.org"])
    wallet_address: str | None = Field(examples=["0x7E5F4552091A69125d5DfCb7b8C2659029395Bdf"])
    has_password: bool
    has_totp: bool
    kyc_status: str = Field(examples=["NONE"])
    role: str | None = Field(default=None, examples=["ANALYST"])
    created_at: At


class Kyc(BaseModel):
    """Say how far the identity was checked."""

    kyc_status: Literal["NONE", "PENDING", "APPROVED", "REJECTED"]


class SessionItem(BaseModel):
    """Be one open session; ``unusual``: it began in a place that was new for the account."""

    id: str = Field(examples=["sabcdefghijklmnopqrst"])
    current: bool
    method: Literal["PASSWORD", "WALLET"]
    ip: str = Field(examples=["192.0.2.7"])
    user_agent: str = Field(examples=["curl/8.14.1"])
    unusual: bool
    created_at: At
    last_used_at: At
    expires_at: At


class DeviceItem(BaseModel):
    """Be one trusted device."""

    id: str = Field(examples=["dabcdefghijklmnopqrst"])
    name: Name
    created_at: At
    expires_at: At
    last_used_at: At | None


class EventItem(BaseModel):
    """Be one thing that happened to the account's ways in."""

    id: int = Field(examples=[12])
    kind: str = Field(examples=["LOGGED_IN"])
    detail: str = Field(examples=["my laptop"])
    ip: str | None = Field(examples=["192.0.2.7"])
    at: At


class TotpSecret(BaseModel):
    """Hold what the authenticator is told; it counts once it is confirmed."""

    secret: str = Field(examples=["JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"])
    uri: str = Field(examples=["otpauth://totp/Hybrid%20Perps:ann%40example.org?secret=JBSWY3DPEHPK3PXP"])


class RecoveryCodes(BaseModel):
    """Hold recovery codes, shown once; each works once in the place of the authenticator's code."""

    codes: list[str] = Field(examples=[["abcd-efgh-ijkl-mnop"]])


class CodesLeft(BaseModel):
    """Say how many recovery codes are unused."""

    left: int = Field(examples=[10])


class KeyItem(BaseModel):
    """Be one API key; the secret before the latest works until ``previous_until_at``."""

    id: str = Field(examples=["kabcdefghijklmnopqrst"])
    name: Name
    scopes: list[Scope]
    networks: list[str] = Field(examples=[["192.0.2.0/24"]])
    created_at: At
    previous_until_at: At | None

    @classmethod
    def of(cls, key: ApiKey) -> "KeyItem":
        """Return what is shown of a key."""
        return cls(**_shown(key))


class KeyWithSecret(KeyItem):
    """Be a key with its secret, shown once."""

    secret: Token

    @classmethod
    def new(cls, made: NewKey) -> "KeyWithSecret":
        """Return what is shown of a new key, or a new secret."""
        return cls(**_shown(made.key), secret=made.secret)


def _shown(key: ApiKey) -> dict[str, Any]:
    return {
        "id": key.id,
        "name": key.name,
        "scopes": list(key.scopes),
        "networks": [str(network) for network in key.networks],
        "created_at": key.created_at,
        "previous_until_at": key.previous_until,
    }
