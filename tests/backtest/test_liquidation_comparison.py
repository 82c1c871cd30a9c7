import pyarrow as pa

from backtest.liquidation_comparison import compare_liquidations
from risk.settings import HOUR_NS, MINUTE_NS


def table(rows: list[tuple[int, str]]) -> pa.Table:
    return pa.table({"ts": [ts for ts, _ in rows], "user": [user for _, user in rows]})


def test_a_liquidation_matches_the_nearest_of_the_same_user_once() -> None:
    real = table([(0, "a"), (HOUR_NS, "a"), (0, "b")])
    mine = table([(2 * MINUTE_NS, "a"), (2 * MINUTE_NS, "a"), (0, "c")])
    found = compare_liquidations(mine, real)
    assert found.real == 3
    assert found.simulated == 2  # two positions of one account at one time are one liquidation
    assert found.matched == {"5 min": 1, "1 h": 1, "1 day": 1}
    assert (found.users_real, found.users_both, found.only_simulated_users) == (2, 1, 1)


def test_nothing_matches_nothing() -> None:
    empty = pa.table({"ts": pa.array([], pa.int64()), "user": pa.array([], pa.string())})
    assert compare_liquidations(empty, empty).matched == {"5 min": 0, "1 h": 0, "1 day": 0}
