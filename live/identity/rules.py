"""The numbers of log-in: lifetimes, costs and limits."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Limit:
    """Let ``free`` attempts fail, then lock for ``first_s``, twice that after the next, at most ``most_s``.

    ``right_clears``: a right attempt ends the count. It must not where whoever guesses can make a right one, nor where
    the count is kept of what may not exist, as an end of it would tell that it does.
    """

    free: int
    first_s: int
    most_s: int
    right_clears: bool = False


@dataclass(frozen=True)
class AccessRules:
    """Hold every number; seconds unless named otherwise. The argon2 costs are the RFC 9106 profile for less memory."""

    access_s: int = 300
    session_s: int = 30 * 86_400
    idle_s: int = 7 * 86_400
    challenge_s: int = 300
    email_token_s: int = 3_600
    nonce_s: int = 600
    wallet_clock_s: int = (
        60  # by how much the clock that a wallet's message was written by may differ from ours
    )
    fresh_log_in_s: int = 300  # for how long a log-in by wallet stands for a password
    device_s: int = 30 * 86_400
    settled_s: int = 86_400  # after which an unusual place is usual, unless its session was ended for safety
    totp_drift_steps: int = 1
    recovery_codes: int = 10
    api_keys: int = 30
    widest_ipv4: int = 16  # the shortest prefixes of the networks that a key which may withdraw is used from
    widest_ipv6: int = 32
    longest_grace_s: int = 86_400
    receive_window_ms: int = 5_000
    longest_window_ms: int = 60_000
    ahead_ms: int = 1_000  # how far a client's clock may be ahead
    shortest_password: int = 10
    longest_password: int = 256
    argon2_memory_kib: int = 65_536
    argon2_passes: int = 3
    argon2_lanes: int = 1
    argon2_threads: int = 1  # one hash at a time leaves the other cores to trading
    argon2_waiting: int = 64
    forget_guesses_s: int = 86_400
    longest_attempt_s: int = 30  # what was not ended by then was broken off, and counts as failed
    longest_wait_s: float = 10  # of an attempt for those in flight
    refresh_grace_s: int = 10  # in which a refresh may be asked for again whose answer was lost
    same_use_s: int = 600  # in which a code may be shown again for what it was used for
    limits: dict[str, Limit] = field(
        default_factory=lambda: {
            "password": Limit(5, 60, 3_600),
            "device": Limit(
                5, 60, 3_600, True
            ),  # a trusted one's passwords, which no stranger's guesses lock out
            "session": Limit(5, 60, 3_600, True),  # shown again in one, which no stranger's guesses lock out
            "account": Limit(20, 60, 3_600, True),  # the same in all sessions of an account
            "second-factor": Limit(5, 60, 3_600, True),
            "network": Limit(20, 60, 3_600),
            "letters": Limit(5, 600, 3_600),
        }
    )
