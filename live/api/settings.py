"""What the API is told from outside, beside what the live shell is."""

from email.utils import parseaddr
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated
from urllib.parse import urlsplit

from limits import RateLimitItem, parse_many
from pydantic import Field, field_validator
from pydantic_settings import NoDecode

from live.settings import LiveSettings, without_password

Network = IPv4Network | IPv6Network
_LOOPBACK = "127.0.0.0/8,::1/128"


class ApiSettings(LiveSettings):
    """Hold the settings of the API; ``read_settings(ApiSettings)`` reads them from the environment.

    SMTP_URL: where mails go, else they are kept as files. MAIL_FROM: their sender. PUBLIC_URL: where users reach
    the API, for links and wallet log-in. HYBRID_PERPS_SECRET: the master key, 32 bytes in base64.
    TRUSTED_PROXIES: addresses or networks whose X-Forwarded-For is believed. METRICS_FROM: those that may read
    /metrics. RATE_LIMIT_…: requests per address, user and API key. MAX_BODY_BYTES: the largest body taken.
    """

    smtp_url: str | None = Field(default=None, repr=False)
    mail_from: str = "Hybrid Perps <no-reply@localhost>"
    public_url: str = "http://127.0.0.1:8000"
    hybrid_perps_secret: str | None = Field(default=None, repr=False)
    trusted_proxies: Annotated[tuple[Network, ...], NoDecode] = ()
    metrics_from: Annotated[tuple[Network, ...], NoDecode] = Field(default=_LOOPBACK, validate_default=True)
    rate_limit_address: str = "6000/minute"
    rate_limit_user: str = "6000/minute"
    rate_limit_key: str = "6000/minute"
    rate_limit_login: str = "20/minute"
    rate_limit_letters: str = "100/hour"
    max_body_bytes: int = Field(default=65_536, ge=1_024, le=16_777_216)

    @field_validator("trusted_proxies", "metrics_from", mode="before")
    @classmethod
    def _are_networks(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        try:
            return tuple(ip_network(part.strip(), strict=False) for part in value.split(",") if part.strip())
        except ValueError:
            raise ValueError(f"was {value!r}, it must be addresses or networks with commas between") from None

    @field_validator(
        "rate_limit_address", "rate_limit_user", "rate_limit_key", "rate_limit_login", "rate_limit_letters"
    )
    @classmethod
    def _is_rate(cls, value: str) -> str:
        rate_of(value)
        return value

    @field_validator("smtp_url")
    @classmethod
    def _is_smtp(cls, url: str | None) -> str | None:
        if url is not None and not _names_server(url, ("smtp", "smtps")):
            raise ValueError(
                f"was {without_password(url)!r}, it must be smtp://USER:PASSWORD@HOST:PORT or smtps://…"
            )
        return url

    @field_validator("public_url")
    @classmethod
    def _is_web_address(cls, url: str) -> str:
        if not _names_server(url, ("http", "https")):
            raise ValueError(f"was {without_password(url)!r}, it must be https://HOST or http://HOST:PORT")
        return url

    @field_validator("mail_from")
    @classmethod
    def _is_sender(cls, sender: str) -> str:
        address = parseaddr(sender)[1]
        if not all(address.rpartition("@")[::2]) or not sender.isprintable():
            raise ValueError(f"was {sender!r}, it must be an address, or such as: Name <name@example.org>")
        return sender


def _names_server(url: str, schemes: tuple[str, ...]) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number
        return False


def rate_of(text: str) -> RateLimitItem:
    """Read a rate such as ``600/minute``; raises ValueError for any other text, and for one that lets nothing in."""
    wrong = f"was {text!r}, it must be a rate such as 600/minute"
    try:
        (rate,) = parse_many(text)
    except ValueError:
        raise ValueError(wrong) from None
    if rate.amount < 1:
        raise ValueError(f"{wrong}, of 1 at the least")
    return rate
