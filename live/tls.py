"""The certificate and key that the API is served with, and in words what is wrong with them."""

import ssl
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509 import Certificate, load_pem_x509_certificates

from risk.errors import InvalidInput

_ENCRYPTED = "--tls-key was encrypted; it must be a key without a password"


def tls_context(
    certificate: Path | None, key: Path | None, warn: Callable[[str], object]
) -> ssl.SSLContext | None:
    """Return what serves TLS with these files, both PEM, the certificate's chain after it; None without them.

    ``warn`` is told of certificates that are not valid now. Raises InvalidInput for files that do not do.
    """
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise InvalidInput("--tls-cert and --tls-key must be given together")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certificate, key, password=_no_password)
    except (OSError, ValueError) as error:
        _check(certificate, key)
        reason = getattr(error, "strerror", None) or str(error)
        raise InvalidInput(
            f"TLS cannot be served with {str(certificate)!r} and {str(key)!r}: {reason}"
        ) from None
    with suppress(ValueError):  # OpenSSL reads what this does not, and it will do
        for each in load_pem_x509_certificates(certificate.read_bytes()):
            _check_dates(certificate, each, warn)
    return context


def _no_password() -> str:
    raise InvalidInput(_ENCRYPTED)


def _check(certificate: Path, key: Path) -> None:
    """Raise InvalidInput for what can be told of files that were refused."""
    chain, private = _chain(certificate), _key(key)
    if private.public_key() != chain[0].public_key():
        raise InvalidInput(
            f"--tls-cert {str(certificate)!r} and --tls-key {str(key)!r} do not fit: "
            "the first certificate must be the one made for this key"
        )


def _chain(path: Path) -> list[Certificate]:
    held = _read("--tls-cert", path)
    try:
        return load_pem_x509_certificates(held)
    except ValueError:
        raise InvalidInput(f"--tls-cert was {str(path)!r}, which holds no certificate in PEM") from None


def _key(path: Path) -> PrivateKeyTypes:
    held = _read("--tls-key", path)
    try:
        return load_pem_private_key(held, password=None)
    except TypeError:  # OpenSSL asked for no password, as it stumbled before
        raise InvalidInput(_ENCRYPTED) from None
    except (ValueError, UnsupportedAlgorithm):
        raise InvalidInput(f"--tls-key was {str(path)!r}, which holds no private key in PEM") from None


def _read(option: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidInput(f"{option} was {str(path)!r}, which cannot be read: {error.strerror}") from None


def _check_dates(path: Path, certificate: Certificate, warn: Callable[[str], object]) -> None:
    now, name = datetime.now(UTC), certificate.subject.rfc4514_string()
    if certificate.not_valid_after_utc < now:
        told = f"expired at {certificate.not_valid_after_utc:%Y-%m-%d %H:%M:%S} UTC"
    elif certificate.not_valid_before_utc > now:
        told = f"is not valid before {certificate.not_valid_before_utc:%Y-%m-%d %H:%M:%S} UTC"
    else:
        return
    warn(f"the certificate of {name!r} in {str(path)!r} {told}: clients will refuse it")
