"""Figures and settings of a study as people read them, shared by report and terminal."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from backtest.estimates import ALL_HYPERLIQUID
from backtest.report.summary import amount, signed, when
from backtest.scenario import Scenario
from backtest.scenario_overrides import path_keys
from backtest.scenario_settings import RoutingRow
from backtest.scenario_values import Section
from backtest.tuning.findings import (
    LATER,
    LATER_OTHERS,
    OTHERS,
    SEARCHED,
    Finalist,
    Findings,
    Judged,
    Point,
)
from backtest.tuning.measures import MEASURES
from backtest.tuning.space import text_of
from backtest.tuning.study import Limit, Study
from risk.settings import DAY_NS

# What the search never saw, the hardest test first.
HELD_OUT = (LATER_OTHERS, LATER, OTHERS)
PART_TITLES = {
    SEARCHED: "searched",
    LATER: "later time, same users",
    OTHERS: "same time, other users",
    LATER_OTHERS: "later time, other users",
}
DIGEST_SHOWN = 12
MISSING = "–"
_NOTHING = Decimal("0.005")  # of a figure's unit: what rounds to nothing is written 0
_SHARES = {"margin_ratio", "trading_margin_ratio", "hedge_margin_ratio", "internal_share"}

type Number = Decimal | float | None


def unit(measure: str) -> str:
    """Return the unit a measure is shown in: shares and margin ratios in percent."""
    return "%" if measure in _SHARES else MEASURES[measure].unit


def scale(measure: str) -> int:
    """Return what a figure is multiplied by to be in its ``unit``."""
    return 100 if measure in _SHARES else 1


def heading(measure: str) -> str:
    """Return a measure's title with its unit."""
    return ", ".join(filter(None, [MEASURES[measure].title, unit(measure)]))


def number(measure: str, value: Number) -> str:
    """Write a figure without its unit; a dash for None."""
    if value is None:
        return MISSING
    exact = Decimal(str(value)) * scale(measure)
    if abs(exact) < _NOTHING:
        return "0"
    if unit(measure) == "USDC":
        gains = MEASURES[measure].better == "maximize"
        return signed(exact) if gains else amount(exact)
    places = 0 if unit(measure) == "" or abs(exact) >= 100 else 1
    return _grouped(f"{exact:,.{places}f}")


def said(measure: str, value: Number) -> str:
    """Write a figure with its unit."""
    return number(measure, value) if value is None else f"{number(measure, value)} {unit(measure)}".rstrip()


def interval(measure: str, ends: tuple[float, float] | None) -> str:
    """Write the ends of an interval; nothing where there is none."""
    return "" if ends is None else " … ".join(number(measure, end).removeprefix("+") for end in ends)


def share(value: float | None) -> str:
    """Write a probability as a percentage; very small ones as what they are under."""
    if value is None:
        return MISSING
    return "under 0.1 %" if 0 <= value < 0.001 else f"{100 * value:.{1 if value < 0.1 else 0}f} %"


def setting(value: Any) -> str:
    """Write a setting's value, numbers with spaces between thousands."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return text_of(value)
    return _grouped(f"{Decimal(value).normalize():,f}")


def short(path: str) -> str:
    """Return a setting's path without the prefixes that go without saying, for axes."""
    return path.removeprefix("risk.").removeprefix("routing.*.")


def meaning(path: str) -> str:
    """Return what the scenario file says a setting means; empty where it says nothing."""
    section, *rest = path_keys(path)
    found = Scenario.model_fields[section].annotation
    fields: Mapping[str, Any] = {}
    if section == "routing":
        fields, rest = RoutingRow.model_fields, rest[1:]
    elif isinstance(found, type) and issubclass(found, Section):
        fields = found.model_fields
    field = fields.get(rest[0]) if rest else None
    return (field.description or "") if field is not None else ""


def setting_unit(path: str) -> str:
    """Return the unit of a setting that is not a duration, as far as its meaning names one."""
    return "USDC" if meaning(path).startswith("USDC") else ""


def limit_text(measure: str, limit: Limit) -> str:
    """Write a constraint in the measure's unit."""
    parts = [("at least", limit.min), ("at most", limit.max)]
    written = " and ".join(f"{word} {said(measure, end)}" for word, end in parts if end is not None)
    return f"{MEASURES[measure].title} {written}"


def broken_text(broken: Mapping[str, Decimal]) -> str:
    """Say which constraints are broken and by how much; empty if none is."""
    return "; ".join(
        f"{MEASURES[name].title} by {said(name, excess).removeprefix('+')}" for name, excess in broken.items()
    )


def shown_measures(study: Study) -> list[str]:
    """Return the measures a study is about: its objectives first, then what else it constrains."""
    return list(dict.fromkeys([*study.objectives, *study.constraints]))


def in_order(findings: Findings) -> list[tuple[str, Mapping[str, Judged]]]:
    """Return what was run, by name, part by part: the recommended point, the baseline, the other finalists."""
    runs = {each.point.number: (trial_name(findings, each.point), each.parts) for each in findings.finalists}
    first = [runs.pop(findings.recommended)] if findings.recommended in runs else []
    ordered = [*first, (ALL_HYPERLIQUID, findings.baseline), *runs.values()]
    return [(name, parts) for name, parts in ordered if parts]


def day(findings: Findings, ts: int) -> str:
    """Write a time of the walk: the day, or to the minute where steps do not begin at midnight."""
    times = {end for step in findings.walk for end in (step.start_ns, step.edge_ns, step.end_ns)}
    return when(ts) if any(each % DAY_NS for each in times) else when(ts)[:10]


def first_objective(findings: Findings) -> str:
    """Return the objective that is named first."""
    return next(iter(findings.study.objectives))


def recommended(findings: Findings) -> Finalist | None:
    """Return the finalist that is recommended, if one is."""
    return next((each for each in findings.finalists if each.point.number == findings.recommended), None)


def hardest_part(parts: Mapping[str, Judged]) -> str | None:
    """Return which of the parts that were held out is the hardest test, if any was."""
    return next((part for part in HELD_OUT if part in parts), None)


def trial_name(findings: Findings, point: Point) -> str:
    """Name a trial on an axis or in a row, the recommended one with a star."""
    return f"trial {point.number}{' ★' if point.number == findings.recommended else ''}"


def _grouped(text: str) -> str:
    return text.replace(",", " ").replace("-", "−")
