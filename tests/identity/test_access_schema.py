"""The database itself refuses what would undo a revocation, use a code again, or rewrite what happened."""

import psycopg
import pytest
from psycopg import errors

ACCOUNT = "u" + "a" * 20
SETUP = f"""
insert into access.accounts (id, email, created_at) values ('{ACCOUNT}', 'schema@example.org', now());
insert into access.sessions (id, account_id, method, ip, user_agent, unusual, created_at, expires_at, last_used_at,
    revoked_at, revoked_for)
    values ('s{"a" * 20}', '{ACCOUNT}', 'PASSWORD', '192.0.2.1', '', false, now(), now() + '1 day', now(), now(),
    'LOG_OUT');
insert into access.api_keys (id, account_id, name, scopes, networks, secret, created_at, changed_at, revoked_at)
    values ('k{"a" * 20}', '{ACCOUNT}', 'n', '{{READ}}', '{{}}', '\\x{"00" * 60}', now(), now(), now());
insert into access.trusted_devices (id, account_id, token_hash, name, created_at, expires_at, revoked_at)
    values ('d{"a" * 20}', '{ACCOUNT}', '\\x{"00" * 32}', 'n', now(), now() + '1 day', now());
insert into access.refresh_tokens (token_hash, session_id, created_at)
    values ('\\x{"00" * 32}', 's{"a" * 20}', now());
insert into access.security_events (account_id, kind, detail, at) values ('{ACCOUNT}', 'K', '', now());
update access.accounts set totp_secret = '\\x{"00" * 40}', totp_confirmed_at = now(), totp_last_step = 7
    where id = '{ACCOUNT}';
"""


@pytest.mark.parametrize(
    ("statement", "error"),
    [
        ("update access.sessions set revoked_at = null, revoked_for = null", errors.RestrictViolation),
        ("update access.sessions set account_id = 'u' || repeat('b', 20)", errors.RestrictViolation),
        ("update access.api_keys set revoked_at = null", errors.RestrictViolation),
        ("update access.trusted_devices set revoked_at = null", errors.RestrictViolation),
        ("update access.accounts set totp_last_step = 6", errors.RestrictViolation),
        ("update access.accounts set totp_last_step = null", errors.RestrictViolation),
        ("update access.accounts set created_at = now() - interval '1 day'", errors.RestrictViolation),
        ("delete from access.accounts", errors.RestrictViolation),
        ("update access.security_events set detail = 'other'", errors.RestrictViolation),
        ("delete from access.security_events", errors.RestrictViolation),
        ("truncate access.security_events", errors.RestrictViolation),
        ("update access.accounts set email = 'Schema@example.org'", errors.CheckViolation),
        ("update access.accounts set email = null", errors.CheckViolation),
        ("update access.accounts set password_hash = 'hunter2'", errors.CheckViolation),
        ("update access.accounts set totp_secret = 'JBSWY3DPEHPK3PXP'", errors.CheckViolation),
        ("update access.accounts set totp_secret = null", errors.CheckViolation),
        ("update access.api_keys set scopes = '{ACCOUNT}'", errors.CheckViolation),
        ("update access.api_keys set scopes = '{WITHDRAW}'", errors.CheckViolation),
        ("update access.api_keys set secret = 'plain'", errors.CheckViolation),
        (
            "insert into access.refresh_tokens select sha256('x'), session_id, now() from access.refresh_tokens",
            errors.UniqueViolation,
        ),
        ("insert into access.keyring (fingerprint) values (sha256('x'))", errors.UniqueViolation),
    ],
)
def test_statement_is_refused(site, statement, error):
    with psycopg.connect(site.dsn) as connection:
        connection.execute(SETUP.encode())
        with pytest.raises(error):
            connection.execute(statement.encode() + _only(statement))
        connection.rollback()


def _only(statement: str) -> bytes:
    """Return the condition that leaves other tests' rows alone."""
    if not statement.startswith(("update", "delete")):
        return b""
    column = "id" if "access.accounts" in statement else "account_id"
    return f" where {column} = '{ACCOUNT}'".encode()
