"""The tabulated modes are the core's, at every exposure; and the marks that a symbol is followed by."""

from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtest.tuning.internal_flow import InternalFlow
from backtest.tuning.mode_paths import rules
from backtest.tuning.valid_marks import valid_marks
from risk.errors import InvalidInput
from risk.routing import auto_mode, exposure_edges
from risk.settings import RiskConfig, RoutingConfig, RoutingMode, Settings

D = Decimal
MODES = tuple(RoutingMode)
# Finer than the flow's unit of a hundredth, so that edges lie between two units too.
edge = st.decimals(0, 1_000, places=3)


@given(
    betting=edge,
    hl_mode=edge,
    release=edge,
    factor=st.decimals(D("0.5"), 3, places=1),
    exposures=st.lists(st.integers(0, 300_000), min_size=1, max_size=20),
)
def test_tabulated_answers_are_those_of_auto_mode(
    betting: Decimal, hl_mode: Decimal, release: Decimal, factor: Decimal, exposures: list[int]
) -> None:
    flow = InternalFlow({}, np.zeros(0, dtype=np.int64), places=2)
    config = RoutingConfig(
        betting_mode_exposure_threshold=betting, hl_mode_exposure_threshold=hl_mode, auto_switch_enabled=True
    )
    risk = RiskConfig(hl_mode_release=release, betting_mode_release_factor=factor)
    _, _, _, bounds, answers = rules(flow, Settings({"*": config}, risk), "BTC")
    around = [flow.units(each) + step for each in exposure_edges(config, risk) for step in (0, 1)]
    for exposure in [*exposures, *around]:
        code = sum(exposure >= bound for bound in bounds)
        for number, mode in enumerate(MODES):
            assert MODES[answers[number][code]] is auto_mode(mode, flow.money(exposure), config, risk)
    for number in range(len(MODES)):
        stays = [code for code, answer in enumerate(answers[number]) if answer == number]
        # Codes that no exposure has may answer anything, so a gap is one only if some exposure lies in it.
        reached = {sum(exposure >= bound for bound in bounds) for exposure in [*exposures, *around]}
        gap = set(range(min(stays, default=0), max(stays, default=0))) - set(stays)
        assert not gap & reached


def test_without_auto_switch_only_the_limit_of_the_mode_and_the_cap_decide() -> None:
    flow = InternalFlow({}, np.zeros(0, dtype=np.int64), places=0)
    plain = RoutingConfig(normal_threshold=D(100))
    other = RoutingConfig(normal_threshold=D(100), betting_threshold=D(7), hl_mode_exposure_threshold=D(9))
    assert rules(flow, Settings({"*": plain}), "BTC") == rules(flow, Settings({"*": other}), "BTC")
    assert rules(flow, Settings({"*": plain}), "BTC") == (100, 1_000_000)


def marks(*rows: tuple[int, str, float]) -> pa.Table:
    ts, symbol, mark = zip(*rows, strict=True)
    return pa.table({"ts": list(ts), "symbol": list(symbol), "mark": list(mark)})


def guards(*rows: tuple[int, str, str, str]) -> pa.Table:
    columns = zip(*rows, strict=True) if rows else ([], [], [], [])
    return pa.table(dict(zip(("ts", "guard", "symbol", "state"), map(list, columns), strict=True)))


def test_marks_under_quarantine_and_those_that_do_not_move_are_left_out() -> None:
    given_marks = marks(
        (1, "BTC", 10.5),
        (1, "ETH", 0.1 + 0.2),
        (2, "BTC", 10.5),
        (3, "BTC", 20.0),
        (4, "BTC", 20.5),
        (5, "BTC", 21.0),
    )
    quarantine = guards(
        (3, "PRICE_SANITY", "BTC", "OPEN"),
        (4, "PRICE_RANGE", "BTC", "OPEN"),
        (5, "PRICE_SANITY", "BTC", "CLOSED"),
    )
    found = valid_marks(given_marks, quarantine)
    assert (found["BTC"].ts.tolist(), found["BTC"].units(2).tolist()) == ([1, 5], [1050, 2100])
    assert (found["ETH"].places, found["ETH"].units(3).tolist()) == (1, [300])


def test_a_quarantine_without_end_lasts() -> None:
    found = valid_marks(marks((1, "BTC", 10.0), (3, "BTC", 20.0)), guards((2, "PRICE_SANITY", "BTC", "OPEN")))
    assert found["BTC"].ts.tolist() == [1]


def test_marks_too_fine_to_be_exact_are_refused() -> None:
    with pytest.raises(InvalidInput, match="more than 12 decimals"):
        valid_marks(marks((1, "BTC", 1 / 3000)), guards())
