"""What ``ledger`` and ``audit`` print for people."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from rich.box import SIMPLE
from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table

from live.ledger.audit import Report
from live.ledger.checks import Checked
from live.ledger.hashing import plain
from live.ledger.liabilities import Published
from live.ledger.statements import Statement, TrialBalance


def checked(found: Checked) -> list[RenderableType]:
    """Render the outcome of a check: one line, or a line for each finding."""
    scope = f"{found.rules} rules, {found.inputs:,} inputs replayed, up to input {found.seq:,}"
    if not found.counts:
        return [f"The books hold: {scope}."]
    lines: list[RenderableType] = [escape(str(finding)) for finding in found.findings]
    more = sum(found.counts.values()) - len(found.findings)
    if more:
        lines.append(f"and {more:,} more")
    tables = ", ".join(f"{table} {count:,}" for table, count in sorted(found.counts.items()))
    return [*lines, f"[bold red]The books are broken[/]: {tables} ({scope})."]


def verified(report: Report) -> list[RenderableType]:
    """Render the outcome of a verification, with the heads to keep for the next one."""
    rows = ", ".join(f"{count:,} of {table}" for table, count in report.checked.items())
    lines: list[RenderableType] = [escape(str(each)) for each in report.breaks]
    lines.append("[bold red]The chains are broken[/]." if lines else f"Every link holds: rows {rows}.")
    for option, head in (("--head", report.audit_head), ("--journal-head", report.journal_head)):
        lines.append(f"{option} {head.number}:{head.link}")
    return lines


def published(found: Published) -> list[RenderableType]:
    """Render what everybody may know of a published root."""
    lines: list[RenderableType] = [
        f"root   {found.root.hex()}",
        f"total  {_money(found.total)} USDC owed to {found.users:,} users",
        f"at     {_time(found.time_us * 1000)}, after input {found.seq:,}; publication {found.id}",
    ]
    if found.negative_users:
        lines.append(
            f"not counted: {found.negative_users:,} users below zero, by {_money(-found.negative)} USDC together"
        )
    return lines


def statement(found: Statement) -> list[RenderableType]:
    """Render a user's statement."""
    begin = "the beginning" if found.from_ns is None else _time(found.from_ns)
    end = f"input {found.seq:,}" if found.to_ns is None else _time(found.to_ns)
    title = f"Statement of {escape(found.user)}, from {begin} to {end}, USDC"
    movements = _table(title, ("time", "type", "reference"), ("amount", "balance"))
    movements.add_row("", "opening balance", "", "", _money(found.opening), style="bold")
    for each in found.movements:
        movements.add_row(
            _time(each.ts), each.type, escape(each.ref), _signed(each.amount), _money(each.balance)
        )
    movements.add_row("", "closing balance", "", "", _money(found.closing), style="bold")
    totals = _table("Movements by type, USDC", ("type",), ("amount",))
    for name, amount in found.totals.items():
        totals.add_row(name, _signed(amount))
    totals.add_row("closing − opening", _signed(found.closing - found.opening), style="bold")
    return [movements, totals, *_open(found)]


def _open(found: Statement) -> list[RenderableType]:
    wallet = _table("Wallet now, USDC", ("",), ("",))
    for name, amount in found.wallet.items():
        wallet.add_row(name.replace("_", " "), _money(amount))
    tables: list[RenderableType] = [wallet]
    for title, rows in (
        ("Open positions", found.positions),
        ("Waiting orders", found.orders),
        ("Pending withdrawals", found.withdrawals),
    ):
        if rows:
            tables.append(_rows(title, rows))
    return tables


def trial_balance(found: TrialBalance) -> list[RenderableType]:
    """Render the trial balance, and whether it balances."""
    table = _table(f"Trial balance after input {found.seq:,}, USDC", ("account",), ("debit", "credit"))
    for line in found.lines:
        debit = _money(line.debit) if line.debit else ""
        credit = _money(line.credit) if line.credit or not line.debit else ""
        table.add_row(escape(line.account.replace("_", " ")), debit, credit)
    table.add_section()
    table.add_row("total", _money(found.debit), _money(found.credit), style="bold")
    if found.balances:
        return [table, "The books balance."]
    return [
        table,
        f"[bold red]The books do not balance[/]: the difference is {_money(abs(found.debit - found.credit))}.",
    ]


def _table(title: str, texts: tuple[str, ...], numbers: tuple[str, ...]) -> Table:
    table = Table(title=title, title_justify="left", box=SIMPLE, padding=(0, 1, 0, 0), header_style="bold")
    for name in texts:
        table.add_column(name, overflow="fold", no_wrap=name in ("time", "type"), min_width=len(name))
    for name in numbers:
        table.add_column(name, justify="right", no_wrap=True)
    table.show_header = any((*texts, *numbers))
    return table


def _rows(title: str, rows: list[dict[str, Any]]) -> Table:
    table = _table(title, (), ())
    table.show_header = True
    for name, value in rows[0].items():
        table.add_column(
            name.replace("_", " "),
            justify="right" if isinstance(value, Decimal) else "left",
            overflow="fold",
            no_wrap=isinstance(value, datetime),
        )
    for row in rows:
        table.add_row(*map(_cell, row.values()))
    return table


def _cell(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, Decimal):
        return plain(value)
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
    return escape(str(value))


def _time(ns: int) -> str:
    return f"{datetime.fromtimestamp(ns // 1_000_000_000, UTC):%Y-%m-%d %H:%M:%S}"


def _money(amount: Decimal) -> str:
    return f"{amount:,.6f}"


def _signed(amount: Decimal) -> str:
    return f"{amount:+,.6f}"
