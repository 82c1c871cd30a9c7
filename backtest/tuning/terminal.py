"""What a study found, on one screen of a terminal."""

from rich.console import Console
from rich.table import Table
from rich.text import Text

from backtest.estimates import ALL_HYPERLIQUID
from backtest.tuning.findings import PARTS, Findings, Judged
from backtest.tuning.report.headlines import counts_text, lead
from backtest.tuning.report.words import (
    MISSING,
    PART_TITLES,
    heading,
    in_order,
    number,
    setting,
    shown_measures,
)

_MOST_RUNS = 2  # beside each other: the recommended point, or the best, and everything on Hyperliquid
_SHORT = {ALL_HYPERLIQUID: "all on HL"}
_BROKEN = "bold red"
_NUMBER_WIDTH = 10  # millions with sign and spaces


def print_findings(console: Console, findings: Findings) -> None:
    """Print the recommendation, what it changes, how it did on every part, and the verdict."""
    study = findings.study
    title = Text.assemble((study.name, "bold"), f"  {study.description}".rstrip())
    console.print(title)
    console.print(
        Text(lead(findings), style="bold green" if findings.recommended is not None else "bold yellow")
    )
    if findings.changes:
        console.print(_changes(findings))
    if in_order(findings):
        console.print(_parts(findings))
    for sentence in findings.summary[1:]:  # the first is what stands above
        console.print(Text(f"• {sentence}"))
    console.print(Text(f"Trials: {counts_text(findings.counts)}", style="dim"))


def _changes(findings: Findings) -> Table:
    table = Table("setting", box=None, header_style="bold")
    for name in ("before", "after"):
        table.add_column(name, justify="right")
    for path, before, after in findings.changes:
        old = "not set" if before is None else setting(before)
        table.add_row(Text(path), Text(old), Text(setting(after), style="bold"))
    return table


def _parts(findings: Findings) -> Table:
    """Set the parts in columns, and in rows each measure of the recommended point and of the baseline."""
    runs = in_order(findings)[:_MOST_RUNS]
    shown = [part for part in PARTS if any(part in found for _, found in runs)]
    table = Table(box=None, header_style="bold")
    table.add_column("")
    table.add_column("", no_wrap=True)
    for part in shown:
        # Where the screen is narrow, titles give way and numbers do not.
        table.add_column(PART_TITLES[part], justify="right", width=_NUMBER_WIDTH)
    for measure in shown_measures(findings.study):
        for i, (name, found) in enumerate(runs):
            cells = [_cell(measure, found.get(part)) for part in shown]
            table.add_row(heading(measure) if i == 0 else "", _SHORT.get(name, name), *cells)
    return table


def _cell(measure: str, judged: Judged | None) -> Text:
    if judged is None:
        return Text(MISSING)
    return Text(number(measure, judged.figures[measure]), style=_BROKEN if measure in judged.broken else "")
