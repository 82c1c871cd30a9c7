"""The 62 liquidations that really happened in spring 2023, against our arithmetic."""

from collections import defaultdict
from decimal import Decimal
from pathlib import Path

from data.flow_2023 import LEVERAGE, read_fills, read_liquidations
from risk.margin import maintenance_margin

TIERS = [(0, LEVERAGE)]


def test_every_cross_account_is_under_water_at_its_implied_mark(real_history: Path) -> None:
    """``notional`` is size × Hyperliquid's mark then, so it is the mark that matters here."""
    rows = [row for row in read_liquidations(real_history).to_pylist() if row["margin_mode"] == "CROSS"]
    assert len(rows) == 54
    for row in rows:
        value = Decimal(repr(row["account_value"]))
        assert value <= maintenance_margin(Decimal(repr(row["notional"])), TIERS), row


def test_liquidations_were_printed_at_the_bankruptcy_price(real_history: Path) -> None:
    """Notional ∓ account value, in 55 of the 57 liquidations of one coin; the other two are isolated."""
    liquidations = read_liquidations(real_history)
    closes = defaultdict(list)
    for fill in read_fills(real_history, liquidations).to_pylist():
        if fill["liquidation"]:
            closes[fill["user"], fill["ts"]].append(fill)
    single = met = 0
    for row in liquidations.to_pylist():
        fills = closes[row["user"], row["ts"]]
        if len({fill["symbol"] for fill in fills}) != 1:
            continue
        single += 1
        side = 1 if fills[0]["side"] == "SELL" else -1  # a long is closed by selling
        printed = sum(fill["price"] * fill["size"] for fill in fills)
        bankrupt = row["notional"] - side * row["account_value"]
        met += abs(printed - bankrupt) < 1e-4 * bankrupt
        if abs(printed - bankrupt) >= 1e-4 * bankrupt:
            assert row["margin_mode"] == "ISOLATED"
    assert (single, met) == (57, 55)
