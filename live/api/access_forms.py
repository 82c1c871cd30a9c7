"""What log-in says and answers, and the parts that other forms share."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainSerializer, SecretStr

from live.api.wording import worded
from live.identity.log_in import Challenge, LoggedIn
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


class RefreshBody(Body):
    """Show the latest refresh token."""

    refresh_token: Token


class TokenBody(Body):
    """Show a letter's token."""

    token: Token


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
