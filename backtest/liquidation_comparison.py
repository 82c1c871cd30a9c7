"""Compare a run's liquidations with those that really happened, user by user (``flow-2023``)."""

from collections import defaultdict
from dataclasses import dataclass

import pyarrow as pa

from risk.settings import DAY_NS, HOUR_NS, MINUTE_NS

WINDOWS_NS = {"5 min": 5 * MINUTE_NS, "1 h": HOUR_NS, "1 day": DAY_NS}


@dataclass(frozen=True, slots=True)
class LiquidationComparison:
    """Count matches: ``matched[w]`` real liquidations have one of the same user in the run within ±w."""

    real: int
    simulated: int
    matched: dict[str, int]
    users_real: int
    users_both: int
    only_simulated_users: int

    def to_dict(self) -> dict[str, object]:
        """Return plain values for the result file and the report."""
        return {
            "real": self.real,
            "simulated_accounts": self.simulated,
            "matched_within": dict(self.matched),
            "users_liquidated_really": self.users_real,
            "users_liquidated_in_both": self.users_both,
            "users_liquidated_only_here": self.only_simulated_users,
        }


def compare_liquidations(simulated: pa.Table, real: pa.Table) -> LiquidationComparison:
    """Match each real liquidation with the nearest unused one of the same user.

    ``simulated`` is the run's ``liquidations`` table, of which the positions of one user closed at one time
    are one liquidation of an account; ``real`` has the columns ts and user.
    """
    mine: dict[str, list[int]] = defaultdict(list)
    moments = set(zip(simulated["user"].to_pylist(), simulated["ts"].to_pylist(), strict=True))
    for user, ts in sorted(moments):
        mine[user].append(ts)
    theirs = sorted(zip(real["ts"].to_pylist(), real["user"].to_pylist(), strict=True))
    matched = {}
    for name, width in WINDOWS_NS.items():
        unused = {user: list(times) for user, times in mine.items()}
        matched[name] = sum(_take_nearest(unused.get(user, []), ts, width) for ts, user in theirs)
    users_real = {user for _, user in theirs}
    return LiquidationComparison(
        real=len(theirs),
        simulated=len(moments),
        matched=matched,
        users_real=len(users_real),
        users_both=len(users_real & set(mine)),
        only_simulated_users=len(set(mine) - users_real),
    )


def _take_nearest(times: list[int], ts: int, width: int) -> bool:
    nearest = min(times, key=lambda t: (abs(t - ts), t), default=None)
    if nearest is None or abs(nearest - ts) > width:
        return False
    times.remove(nearest)
    return True
