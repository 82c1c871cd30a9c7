"""What the live shell is told from outside: where its database, its bus and its files are."""

import re
from pathlib import Path
from urllib.parse import urlsplit

from platformdirs import user_data_path
from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict
from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from risk.errors import InvalidInput


class LiveSettings(BaseSettings):
    """Hold the settings of the live shell; ``read_settings`` reads them from the environment.

    Addresses may carry passwords, so they stay out of its text form.
    """

    model_config = SettingsConfigDict(env_ignore_empty=True, frozen=True, hide_input_in_errors=True)

    database_url: str | None = Field(default=None, repr=False)
    bus_url: str | None = Field(default=None, repr=False)
    hybrid_perps_home: Path = Field(default_factory=lambda: user_data_path("hybrid-perps"))

    @field_validator("database_url")
    @classmethod
    def _is_postgres(cls, url: str | None) -> str | None:
        if url is None:
            return None
        wanted = (
            "it must be postgresql://USER:PASSWORD@HOST:PORT/DATABASE, several HOST:PORT with commas between"
        )
        if urlsplit(url).scheme not in ("postgresql", "postgres"):
            raise ValueError(f"was {without_password(url)!r}, {wanted}")
        try:
            conninfo_to_dict(url)
        except ProgrammingError:  # libpq quotes what it could not read, which may be the password
            raise ValueError(
                f"was {without_password(url)!r}, which PostgreSQL cannot read: {wanted}"
            ) from None
        return url

    @field_validator("bus_url")
    @classmethod
    def _is_redis(cls, url: str | None) -> str | None:
        if url is None:
            return None
        try:
            parts = urlsplit(url)
            usable = parts.scheme in ("redis", "rediss") and bool(parts.hostname) and parts.port != 0
        except ValueError:  # a port that is no number
            usable = False
        if not usable:
            raise ValueError(
                f"was {without_password(url)!r}, it must be redis://HOST:PORT or rediss://HOST:PORT"
            )
        return url

    @field_validator("hybrid_perps_home")
    @classmethod
    def _is_folder(cls, home: Path) -> Path:
        try:
            found = home.expanduser().absolute()
            usable = found.is_dir() or not found.exists()
        except OSError as error:
            raise ValueError(f"was {str(home)!r}, which cannot be used: {error.strerror}") from None
        except RuntimeError:  # ~nobody-of-that-name
            raise ValueError(f"was {str(home)!r}, there is no such user") from None
        if not usable:
            raise ValueError(f"was {str(home)!r}, it must be a folder")
        return found


def read_settings[S: LiveSettings = LiveSettings](kind: type[S] = LiveSettings) -> S:  # type: ignore[assignment]
    """Return the settings the environment gives, those of the live shell or of a ``kind`` with more.

    DATABASE_URL: a PostgreSQL of your own; without it one is run in HYBRID_PERPS_HOME. BUS_URL: a Redis that
    carries commands between processes; without it they stay in one. HYBRID_PERPS_HOME: where files are kept,
    by default the user's data folder. Raises InvalidInput that names the variable.
    """
    try:
        return kind()
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        name, reason = str(first["loc"][0]).upper(), first["msg"].removeprefix("Value error, ")
        raise InvalidInput(f"{name} {reason}" if reason.startswith("was ") else f"{name}: {reason}") from None


def without_password(url: str) -> str:
    """Return an address that can be shown: its passwords as ``***``."""
    url = re.sub(r"(?<=://)([^/@:]*):.*@", r"\1:***@", url)  # greedy: a bare @ may stand in a password
    return re.sub(r"((?:ssl)?password=)[^&\s]*", r"\1***", url)
