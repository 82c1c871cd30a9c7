"""The keys that no database holds: all derived from one master key."""

import base64
import binascii
import hashlib
import hmac
import os
import secrets
import stat
from pathlib import Path

import asyncpg
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from risk.errors import InvalidInput

_BYTES = 32
_NONCE = 12
_WANTED = "it must be 32 random bytes in base64"


class Keyring:
    """Seal what must be read again and hash what must not, each with a key of its own (HKDF-SHA256, RFC 5869)."""

    def __init__(self, master: bytes) -> None:
        self._sealing = AESGCM(_derive(master, "sealing"))
        self._hashing = _derive(master, "hashing")
        self._pepper = _derive(master, "pepper")
        self.signing = _derive(master, "access tokens")
        self.fingerprint = _derive(master, "fingerprint")

    def seal(self, secret: bytes, row: str) -> bytes:
        """Return ``secret`` as only ``row`` may hold it (AES-256-GCM): moved to another, it does not open."""
        nonce = secrets.token_bytes(_NONCE)
        return nonce + self._sealing.encrypt(nonce, secret, row.encode())

    def unseal(self, sealed: bytes, row: str) -> bytes:
        """Return what ``seal`` was given for ``row``; raises InvalidInput if it was not sealed for it, or by us."""
        try:
            return self._sealing.decrypt(sealed[:_NONCE], sealed[_NONCE:], row.encode())
        except InvalidTag:
            raise InvalidInput(f"the secret of {row.split(':')[0]} was not sealed for its row") from None

    def hash(self, kind: str, token: str) -> bytes:
        """Return what is kept of a token; the same token of another ``kind`` has another hash."""
        return hmac.digest(self._hashing, f"{kind}\0{token}".encode(), hashlib.sha256)

    def peppered(self, account: str, password: str) -> bytes:
        """Return what is hashed of a password: bound to its account, and useless without our key."""
        digest = hmac.digest(self._pepper, f"{account}\0{password}".encode(), hashlib.sha256)
        return base64.b64encode(digest)


def read_master(given: str | None, home: Path) -> bytes:
    """Return the master key: ``given`` in base64, else the one in ``home``, made there at first.

    Raises InvalidInput for one that is unusable, or a file that others may read.
    """
    if given is not None:
        return _decoded(given, "HYBRID_PERPS_SECRET")
    path = home / "secret.key"
    if not path.exists():
        _make(path)
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise InvalidInput(f"{path} may be read by others; it must be the owner's alone: chmod 600")
    return _decoded(path.read_text(), str(path))


async def check_fingerprint(pool: asyncpg.Pool, keyring: Keyring) -> None:
    """Raise InvalidInput if the database was written with another master key; the first one is its own."""
    await pool.execute(
        "insert into access.keyring (fingerprint) values ($1) on conflict do nothing", keyring.fingerprint
    )
    kept = await pool.fetchval("select fingerprint from access.keyring")
    if not hmac.compare_digest(kept, keyring.fingerprint):
        raise InvalidInput(
            "the master key was another than the one this database was written with; it must be that one "
            "(HYBRID_PERPS_SECRET, or secret.key in HYBRID_PERPS_HOME)"
        )


def _derive(master: bytes, use: str) -> bytes:
    return HKDF(SHA256(), _BYTES, None, f"hybrid-perps {use}".encode()).derive(master)


def _decoded(text: str, name: str) -> bytes:
    try:
        master = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        raise InvalidInput(f"{name} was no base64; {_WANTED}") from None
    if len(master) != _BYTES:
        raise InvalidInput(f"{name} was {len(master)} bytes; {_WANTED}")
    return master


def _make(path: Path) -> None:
    """Write a new key; of two processes at once the first one's counts."""
    path.parent.mkdir(parents=True, exist_ok=True)
    made = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    with os.fdopen(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(base64.b64encode(secrets.token_bytes(_BYTES)).decode() + "\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(made, path)
    except FileExistsError:
        pass
    finally:
        made.unlink()
