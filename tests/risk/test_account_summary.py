"""Account summaries against Hyperliquid's own figures for real accounts."""

import copy
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from risk.errors import InvalidInput
from risk.margin import AccountSummary, account_summary

GOLDEN = Path(__file__).parents[1] / "golden"
ACCOUNTS = sorted((GOLDEN / "hyperliquid").glob("*.json"))
CENT = Decimal("0.01")


def load(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    golden = json.loads(path.read_text())
    return golden["state"], golden["meta"]


@pytest.fixture
def mixed() -> tuple[dict[str, Any], dict[str, Any]]:
    return load(GOLDEN / "hyperliquid" / "2026-01-mixed-sixteen-positions.json")


def test_there_are_golden_accounts() -> None:
    assert len(ACCOUNTS) >= 7


@pytest.mark.parametrize("path", ACCOUNTS, ids=lambda path: path.stem)
def test_liquidation_prices_are_hyperliquids(path: Path) -> None:
    state, meta = load(path)
    for ours, item in zip(account_summary(state, meta).positions, state["assetPositions"], strict=True):
        theirs = item["position"]
        if theirs["liquidationPx"] is None:
            assert ours.liquidation_price is None, ours.coin
        else:
            assert ours.liquidation_price is not None, ours.coin
            off = abs(ours.liquidation_price - Decimal(theirs["liquidationPx"]))
            assert off <= Decimal(theirs["entryPx"]) * Decimal("0.00001"), ours.coin


@pytest.mark.parametrize("path", ACCOUNTS, ids=lambda path: path.stem)
def test_account_figures_are_hyperliquids_to_the_cent(path: Path) -> None:
    state, meta = load(path)
    summary = account_summary(state, meta)
    assert abs(summary.cross_account_value - Decimal(state["crossMarginSummary"]["accountValue"])) < CENT
    if "crossMaintenanceMarginUsed" in state:
        assert summary.reported_cross_maintenance == Decimal(state["crossMaintenanceMarginUsed"])
        assert abs(summary.cross_maintenance_margin - summary.reported_cross_maintenance) < CENT
    if "marginSummary" in state:
        totals = state["marginSummary"]
        assert abs(summary.account_value - Decimal(totals["accountValue"])) < CENT
        assert abs(summary.notional - Decimal(totals["totalNtlPos"])) < CENT
        assert abs(summary.margin_used - Decimal(totals["totalMarginUsed"])) < CENT


def test_hyperliquid_of_march_2023_left_the_divisor_out() -> None:
    # Its prices of that month are the linear approximation that the rulebook forbids, to the last digit:
    # account value and maintenance are met, the formula has changed since.
    state, meta = load(GOLDEN / "hyperliquid_2023_03_linear.json")
    summary = account_summary(state, meta)
    compared = 0
    for ours, item in zip(summary.positions, state["assetPositions"], strict=True):
        theirs = item["position"]["liquidationPx"]
        assert (ours.liquidation_price is None) == (theirs is None)
        if theirs is not None:
            room = summary.account_value - summary.maintenance_margin
            linear = (ours.notional - room.copy_sign(ours.size)) / abs(ours.size)
            assert abs(linear - Decimal(theirs)) < Decimal("0.0000001") * Decimal(theirs)
            compared += 1
    assert compared == 5


def test_mixed_account_keeps_isolated_and_cross_apart(mixed: tuple[dict[str, Any], dict[str, Any]]) -> None:
    summary = account_summary(*mixed)
    isolated = [p for p in summary.positions if p.isolated]
    assert [p.coin for p in isolated] == ["MON", "MET"]
    own = sum(p.margin_used for p in isolated)
    # Hyperliquid adds binary floats: the last of its digits are noise.
    assert abs(summary.account_value - summary.cross_account_value - own) < Decimal("1e-8")
    assert summary.margin_ratio == summary.account_value / summary.maintenance_margin
    assert summary.cross_margin_ratio is not None
    assert summary.cross_margin_ratio > summary.margin_ratio


def test_a_cross_position_counts_the_others_by_their_own_tiers() -> None:
    # Two shorts, both above their first tier; solved by hand at BTC 100 000, ETH 4 000.
    meta = {
        "universe": [
            {"name": "BTC", "maxLeverage": 40, "marginTableId": 56},
            {"name": "ETH", "maxLeverage": 25, "marginTableId": 55},
        ],
        "marginTables": [
            [56, {"marginTiers": [tier("0.0", 40), tier("150000000.0", 20)]}],
            [55, {"marginTiers": [tier("0.0", 25), tier("100000000.0", 15)]}],
        ],
    }
    state = {
        "crossMarginSummary": {"accountValue": "50000000"},
        "assetPositions": [
            held("BTC", "-1400", "140000000", "cross"),
            held("ETH", "-50000", "200000000", "cross"),
        ],
    }
    summary = account_summary(state, meta)
    # BTC: 140 M × 1.25 %; ETH: 100 M × 2 % + 100 M / 30.
    assert [round(p.maintenance_margin, 4) for p in summary.positions] == [
        1_750_000,
        Decimal("5333333.3333"),
    ]
    # At x BTC lies in its second tier: 1400 x × 2.5 % − 1 875 000.
    expected = (190_000_000 + 1_875_000 - Decimal(16_000_000) / 3) / (1400 * Decimal("1.025"))
    assert summary.positions[0].liquidation_price == pytest.approx(expected, rel=Decimal("1e-30"))
    assert expected * 1400 > 150_000_000


def tier(lower: str, leverage: int) -> dict[str, object]:
    return {"lowerBound": lower, "maxLeverage": leverage}


def held(coin: str, size: str, value: str, mode: str) -> dict[str, Any]:
    return {
        "position": {
            "coin": coin,
            "szi": size,
            "positionValue": value,
            "marginUsed": "1000",
            "unrealizedPnl": "0.5",
            "leverage": {"type": mode, "value": 10},
        }
    }


ONLY_BTC = {"universe": [{"name": "BTC", "maxLeverage": 40}]}


class TestIncompleteStates:
    def summarize(self, *held_positions: dict[str, Any], **state: object) -> AccountSummary:
        return account_summary({"assetPositions": list(held_positions), **state}, ONLY_BTC)

    def test_either_margin_summary_gives_both_values(self) -> None:
        cross, isolated = held("BTC", "1", "100", "cross"), held("BTC", "1", "100", "isolated")
        by_cross = self.summarize(cross, isolated, crossMarginSummary={"accountValue": "50"})
        by_whole = self.summarize(cross, isolated, marginSummary={"accountValue": "1050"})
        assert (by_cross.account_value, by_cross.cross_account_value) == (1050, 50)
        assert (by_whole.account_value, by_whole.cross_account_value) == (1050, 50)

    def test_an_empty_account_has_no_margin_ratio(self) -> None:
        summary = self.summarize(crossMarginSummary={"accountValue": "50"})
        assert summary.margin_ratio is None
        assert summary.to_dict()["positions"] == []
        assert summary.to_dict()["account"]["margin_ratio"] is None

    def test_a_state_inside_web_data_is_found(self, mixed: tuple[dict[str, Any], dict[str, Any]]) -> None:
        state, meta = mixed
        assert account_summary({"clearinghouseState": state}, meta) == account_summary(state, meta)

    def test_flat_positions_are_left_out(self) -> None:
        flat = held("BTC", "0.0", "0.0", "cross")
        assert self.summarize(flat, crossMarginSummary={"accountValue": "50"}).positions == ()

    def test_an_account_under_water_still_has_prices(self) -> None:
        summary = self.summarize(held("BTC", "1", "100", "cross"), crossMarginSummary={"accountValue": "-5"})
        assert summary.positions[0].liquidation_price == Decimal(105) * 80 / 79
        assert summary.margin_ratio == -4

    @pytest.mark.parametrize(
        ("field", "value", "message"),
        [
            ("szi", None, r"state.assetPositions\[0\].position.szi was missing"),
            ("szi", "many", r"position.szi was 'many'; it must be a decimal number"),
            ("szi", True, r"position.szi was True"),
            ("marginUsed", "NaN", r"position.marginUsed was 'NaN'; it must be finite"),
            ("positionValue", "-1", r"position.positionValue was .*; it must be above 0"),
            ("unrealizedPnl", [], r"position.unrealizedPnl was \[\]"),
            ("coin", 7, r"position.coin was 7; it must be a string"),
            ("coin", "DOGE", "coin was 'DOGE'"),
            ("leverage", "cross", r"position.leverage was 'cross'; it must be a JSON object"),
            ("leverage", {"type": "portfolio"}, r"leverage.type was 'portfolio'; it must be 'cross' or"),
        ],
    )
    def test_a_wrong_field_is_named(self, field: str, value: object, message: str) -> None:
        position = copy.deepcopy(held("BTC", "1", "100", "cross"))
        position["position"][field] = value
        with pytest.raises(InvalidInput, match=message):
            self.summarize(position, crossMarginSummary={"accountValue": "50"})

    @pytest.mark.parametrize(
        ("state", "message"),
        [
            ({}, "state.assetPositions was missing"),
            ([], r"state was \[\]; it must be a JSON object"),
            ({"assetPositions": []}, "state.marginSummary was missing"),
            ({"assetPositions": {}}, "state.assetPositions was {}; it must be a JSON array"),
        ],
    )
    def test_a_wrong_document_is_named(self, state: object, message: str) -> None:
        with pytest.raises(InvalidInput, match=message):
            account_summary(state, ONLY_BTC)


def test_to_dict_never_writes_exponents_or_negative_zero() -> None:
    position = held("BTC", "0.00000001", "100", "cross")
    position["position"]["unrealizedPnl"] = "-0.0000001"
    state = {"crossMarginSummary": {"accountValue": "-9000000000"}, "assetPositions": [position]}
    (written,) = account_summary(state, ONLY_BTC).to_dict()["positions"]
    assert written["size"] == "0.00000001"
    assert written["unrealized_pnl"] == "0"
    assert written["liquidation_price"].startswith("911392415189873417.7")


def test_to_dict_writes_plain_decimal_strings(mixed: tuple[dict[str, Any], dict[str, Any]]) -> None:
    written = account_summary(*mixed).to_dict()
    assert written["account"] == {
        "account_value": "8272576.572935",
        "notional": "9077249.256311",
        "margin_used": "1120386.813659",
        "maintenance_margin": "361654.698555",
        "margin_ratio": "22.874241",
        "cross_account_value": "8259027.075462",
        "cross_maintenance_margin": "356978.709125",
        "cross_margin_ratio": "23.135909",
        "withdrawable": "6286581.880622",
    }
    assert written["positions"][0] == {
        "coin": "BTC",
        "size": "-1.47472",
        "maintenance_margin": "1755.082706",
        "unrealized_pnl": "-104.935956",
        "liquidation_price": "5387394.780125024202",
    }
    assert written["positions"][2]["liquidation_price"] is None
    assert json.loads(json.dumps(written)) == written
