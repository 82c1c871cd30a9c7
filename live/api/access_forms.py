"""What log-in, accounts and API keys say and answer."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainSerializer, SecretStr

from live.api.wording import worded
from live.identity.keys import ApiKey, NewKey
from live.identity.log_in import Challenge, LoggedIn
from live.identity.principal import Scope
from live.identity.sessions import Tokens


def _iso(at: datetime) -> str:
    return at.isoformat(timespec="microseconds").replace("+00:00", "Z")


def _is_text(password: SecretStr) -> SecretStr:
    try:
        password.get_secret_value().encode()
    except UnicodeEncodeError:  # half a surrogate pair, which JSON can hold
        raise ValueError("must be text") from None
    return password


At = Annotated[
    datetime, PlainSerializer(_iso, return_type=str), Field(examples=["2026-11-21T14:00:00.000000Z"])
]
Email = Annotated[str, Field(min_length=3, max_length=254, examples=["ann@example.org"])]
Password = Annotated[
    SecretStr,
    Field(min_length=1, max_length=256, examples=["correct horse battery staple"]),
    AfterValidator(_is_text),
]
Token = Annotated[
    str,
    Field(
        pattern=worded(r"^[A-Za-z0-9_-]{43}$", "a token as it was given: 43 characters"),
        examples=["qD3cVtJ0m1x5yqV8o2r7Zk4uE9sB6hN-aGfLwXpTiKc"],
    ),
]
Code = Annotated[
    str,
    Field(
        pattern=worded(
            r"^([0-9]{6}|[A-Za-z2-7]{4}(-[A-Za-z2-7]{4}){3})$",
            "six digits of the authenticator, or a recovery code such as abcd-efgh-ijkl-mnop",
        ),
        description="Six digits of the authenticator, or a recovery code.",
        examples=["492039"],
    ),
]
Name = Annotated[str, Field(min_length=1, max_length=100, examples=["my laptop"])]
Message = Annotated[
    str,
    Field(
        min_length=1,
        max_length=4_000,
        description="A message as EIP-4361 has it, as it was signed.",
        examples=[
            "127.0.0.1:8000 wants you to sign in with your Ethereum account:\n"
            "0x7E5F4552091A69125d5DfCb7b8C2659029395Bdf\n\n\nURI: http://127.0.0.1:8000\nVersion: 1\nChain ID: 1\n"
            "Nonce: 4dDrQkVm8Qn1LzYbT0cWf3Xa\nIssued At: 2026-11-21T14:00:00Z"
        ],
    ),
]
WalletSignature = Annotated[
    str,
    Field(
        pattern=worded(r"^0x[0-9a-fA-F]{130}$", "0x and 130 hexadecimal digits"),
        examples=["0x" + "5c" * 65],
        description="EIP-191, 65 bytes.",
    ),
]


class Body(BaseModel):
    """Be what a request says: nothing that is not known."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class EmailBody(Body):
    """Name an address."""

    email: Email


class VerifyBody(Body):
    """Show a letter's token and choose a password."""

    token: Token
    password: Password


class LogInBody(Body):
    """Log in; ``device_token`` is what a trusted device was given."""

    email: Email
    password: Password
    device_token: Token | None = None


class CodeBody(Body):
    """Give a second factor."""

    code: Code


class SecondFactorBody(CodeBody):
    """Give the second factor of a log-in; with ``trust_device_as`` this device needs none for 30 days."""

    challenge: Token
    trust_device_as: Name | None = None


class WalletBody(Body):
    """Show a signed message."""

    message: Message
    signature: WalletSignature


class WalletLogInBody(WalletBody):
    """Log in with a wallet."""

    device_token: Token | None = None


class WalletLinkBody(WalletBody):
    """Link a wallet; ``password`` where the account has one, ``code`` where there is an authenticator."""

    password: Password | None = None
    code: Code | None = None


class RefreshBody(Body):
    """Show the latest refresh token."""

    refresh_token: Token


class PasswordBody(Body):
    """Show the password again; an account without one must have logged in by wallet in the last five minutes."""

    password: Password | None = None


class NewPasswordBody(Body):
    """Change the password; ``code`` where there is an authenticator."""

    old_password: Password
    new_password: Password
    code: Code | None = None


class NewEmailBody(PasswordBody):
    """Name the account's new address; ``code`` where there is an authenticator."""

    email: Email
    code: Code | None = None


class TokenBody(Body):
    """Show a letter's token."""

    token: Token


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


class Sent(BaseModel):
    """Say that a letter is on its way, whatever it says."""

    status: Literal["sent"] = "sent"


class Registered(BaseModel):
    """Name a new account."""

    user: str = Field(examples=["uabcdefghijklmnopqrst"])
    email: Email


class SessionTokens(BaseModel):
    """Hold what a session is used with."""

    kind: Literal["session"] = "session"
    access_token: str = Field(examples=["eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.e30.signature"])
    refresh_token: Token
    expires_in: int = Field(description="Seconds the access token lives.", examples=[300])
    session: str = Field(examples=["sabcdefghijklmnopqrst"])
    device_token: Token | None = Field(default=None, description="Shown once; send it with the next log-in.")

    @classmethod
    def of(cls, tokens: Tokens, device_token: str | None = None) -> "SessionTokens":
        """Return the answer with a session's tokens."""
        return cls(
            access_token=tokens.access_token,
            refresh_token=tokens.refresh_token,
            expires_in=tokens.expires_in,
            session=tokens.session,
            device_token=device_token,
        )


class ChallengeAnswer(BaseModel):
    """Ask for the second factor: send it with ``challenge`` to /v1/auth/login/totp."""

    kind: Literal["challenge"] = "challenge"
    challenge: Token
    expires_in: int = Field(examples=[300])


LogInAnswer = Annotated[SessionTokens | ChallengeAnswer, Field(discriminator="kind")]


def log_in_answer(found: LoggedIn | Challenge) -> SessionTokens | ChallengeAnswer:
    """Return what a first factor is answered with."""
    if isinstance(found, Challenge):
        return ChallengeAnswer(challenge=found.challenge, expires_in=found.expires_in)
    return SessionTokens.of(found.tokens, found.device_token)


class AccessToken(BaseModel):
    """Hold a new access token of the same session."""

    access_token: str = Field(examples=["eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.e30.signature"])
    expires_in: int = Field(examples=[300])


class Nonce(BaseModel):
    """Say what the wallet's message must hold."""

    nonce: str = Field(examples=["4dDrQkVm8Qn1LzYbT0cWf3Xa"])
    domain: str = Field(examples=["127.0.0.1:8000"])
    uri: str = Field(examples=["http://127.0.0.1:8000"])
    expires_in: int = Field(examples=[600])


class Profile(BaseModel):
    """Say who one is."""

    user: str = Field(examples=["uabcdefghijklmnopqrst"])
    email: str | None = Field(examples=["ann@example.org"])
    wallet_address: str | None = Field(examples=["0x7e5f4552091a69125d5dfcb7b8c2659029395bdf"])
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
