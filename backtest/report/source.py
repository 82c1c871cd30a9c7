"""The sections that hold a run against where its orders came from: their outcomes, the real liquidations."""

from collections.abc import Mapping
from typing import Any

from backtest.report.html import section, table


def order_section(summary: Mapping[str, Any]) -> str:
    """Say what became of every order of the flow, and of every source fill the orders were made of."""
    extra = summary["extra"]
    if "order_outcomes" not in extra:
        return ""
    outcomes = [[_words(name), orders] for name, orders in _largest_first(extra["order_outcomes"])]
    parts = [table(["what became of it", "orders"], [["all orders", extra["orders"]], *outcomes])]
    text = "Every order of the flow has one outcome."
    if "source_fill_outcomes" in extra:
        rows = [["all source fills", "", sum(summary["source_fills"].values())]]
        rows += [
            [fate, _words(outcome), fills]
            for fate, reached in extra["source_fill_outcomes"].items()
            for outcome, fills in _largest_first(reached)
        ]
        head = ["source fills read as", "and the order they became", "source fills"]
        parts += ["<h3>The source's fills</h3>", table(head, rows, text_columns=2)]
        text += (
            " Fills of one second, user and side may have become one order; none is left out of the table."
        )
    return section("Order flow", text, *parts)


def real_liquidations(extra: Mapping[str, Any]) -> str:
    """Set the run's liquidations beside those that really happened, where the source knows them."""
    if "real_liquidations" not in extra:
        return ""
    found = extra["real_liquidations"]
    rows = [
        ["liquidations that really happened", found["real"]],
        ["liquidations of accounts in this run", found["simulated_accounts"]],
        *[[f"real ones matched within {width}", hits] for width, hits in found["matched_within"].items()],
        ["users liquidated really", found["users_liquidated_really"]],
        ["users liquidated in both", found["users_liquidated_in_both"]],
        ["users liquidated only here", found["users_liquidated_only_here"]],
    ]
    return "<h3>Against those that really happened</h3>" + table(["what", "count"], rows)


def _largest_first(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def _words(outcome: str) -> str:
    """Write FILLED_INTERNAL_REST_REFUSED_X as a reader would say it, codes as they are."""
    filled, rest, ended = outcome.partition("_REST_")
    words = _SAID.get(filled) or _ended(filled)
    return f"{words}, the rest {_ended(ended)}" if rest else words


def _ended(outcome: str) -> str:
    verb, _, code = outcome.partition("_")
    return f"{verb.lower()}: {code}"


_SAID = {
    "FILLED_INTERNAL": "filled INTERNAL",
    "FILLED_HYPERLIQUID": "filled on Hyperliquid",
    "FILLED_ON_BOTH": "filled on both routes",
    "RESTING_AT_END": "still resting at the end",
    "PENDING_AT_END": "still waiting at the end: in flight, or a trigger never reached",
    "CANCEL_REQUEST": "a cancel of another order",
    "NO_ORDER": "not made into an order",
}
