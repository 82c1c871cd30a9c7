"""``hybrid-perps margin``: an account's margins and liquidation prices from Hyperliquid's own JSON."""

import json
from decimal import Decimal
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from risk.errors import InvalidInput
from risk.margin import AccountSummary, account_summary

_CENT = Decimal("0.01")


def margin_command(state: Path, meta: Path, as_json: bool) -> None:
    """Print the account in ``state`` (clearinghouseState) under the margin tiers of ``meta``.

    Raises InvalidInput for a file that cannot be read or is not the JSON it should be.
    """
    summary = account_summary(_read_json(state, "state"), _read_json(meta, "meta"))
    console = Console()
    if as_json:
        # Not console.print_json: a program gets one plain line, whatever the terminal's width.
        console.file.write(json.dumps(summary.to_dict()) + "\n")
        return
    console.print(_account_table(summary))
    console.print(_positions_table(summary) if summary.positions else "No open positions.")
    for warning in _warnings(summary):
        console.print(warning, style="yellow")


def _read_json(path: Path, name: str) -> object:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InvalidInput(f"{name} file was {str(path)!r}; it cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{name} file was {str(path)!r}; it is not UTF-8 text") from error
    try:
        document: object = json.loads(text, parse_float=Decimal)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"{name} file was {str(path)!r}; it is not JSON: {error}") from error
    return document


def _account_table(summary: AccountSummary) -> Table:
    table = _table("Account, in USDC", "", "whole account", "cross only")
    table.add_row("value", _usdc(summary.account_value), _usdc(summary.cross_account_value))
    table.add_row(
        "maintenance margin", _usdc(summary.maintenance_margin), _usdc(summary.cross_maintenance_margin)
    )
    table.add_row("margin ratio", _ratio(summary.margin_ratio), _ratio(summary.cross_margin_ratio))
    table.add_row("margin used", _usdc(summary.margin_used))
    table.add_row("notional", _usdc(summary.notional))
    if summary.withdrawable is not None:
        table.add_row("withdrawable", _usdc(summary.withdrawable))
    return table


def _positions_table(summary: AccountSummary) -> Table:
    table = _table(
        "Positions: size in coins, prices in USDC per coin, the rest in USDC",
        *("coin", "margin", "size", "mark", "liquidated at", "maint. margin", "unrealized PnL"),
    )
    for position in summary.positions:
        liquidated_at = position.liquidation_price
        table.add_row(
            position.coin,
            "isolated" if position.isolated else "cross",
            f"{position.size.normalize():,f}",
            _price(position.notional / abs(position.size)),
            "none" if liquidated_at is None else _price(liquidated_at),
            _usdc(position.maintenance_margin),
            _usdc(position.unrealized_pnl),
        )
    return table


def _table(title: str, *headings: str) -> Table:
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for heading in headings:
        words = heading in ("", "coin", "margin")
        # Fold, never cut: half a number is a wrong number.
        table.add_column(heading, justify="left" if words else "right", overflow="fold")
    return table


def _warnings(summary: AccountSummary) -> list[str]:
    """Say what a reader must know before trusting the figures."""
    reported = summary.reported_cross_maintenance
    if reported is None or abs(reported - summary.cross_maintenance_margin) < _CENT:
        return []
    return [
        f"Hyperliquid's own cross maintenance margin was {_usdc(reported)} USDC: state and meta are not of "
        "one time, or positions are missing from the state."
    ]


def _usdc(amount: Decimal) -> str:
    return f"{amount:,.2f}"


def _ratio(ratio: Decimal | None) -> str:
    return "no maintenance" if ratio is None else f"{ratio:,.2%}"


def _price(price: Decimal) -> str:
    """Show six significant digits: one more than Hyperliquid's own prices have."""
    return f"{price:,.{max(0, 5 - price.adjusted())}f}"
