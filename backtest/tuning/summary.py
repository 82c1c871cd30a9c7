"""What was found, in plain sentences for those who run the platform."""

from collections.abc import Iterator, Sequence
from decimal import Decimal

from backtest.report.summary import amount, signed
from backtest.tuning.choice import loss
from backtest.tuning.findings import SEARCHED, Figures, Finalist, Findings, Judged, Significance
from backtest.tuning.measures import MEASURES
from backtest.tuning.report.words import (
    PART_TITLES,
    broken_text,
    first_objective,
    interval,
    recommended,
    said,
    setting,
    share,
)

_LUCK = (
    (0.01, "is very unlikely to be luck"),
    (0.05, "is unlikely to be luck"),
    (0.2, "may well be luck"),
    (1.0, "cannot be told from luck"),
)


def summarise(findings: Findings, problems: Sequence[str]) -> tuple[str, ...]:
    """Return the sentences; ``problems`` say what could not be looked at and come last."""
    chosen = recommended(findings)
    if chosen is None:
        told = [f"Nothing is recommended. {findings.reason}", *_baseline_alone(findings)]
    else:
        told = [*_recommendation(findings, chosen), *_surety(findings), *_wrong(findings)]
    return (*told, *problems)


def _baseline_alone(findings: Findings) -> Iterator[str]:
    for name in findings.study.objectives:
        told = (
            f"{PART_TITLES[part]} {said(name, each.figures[name])}"
            for part, each in findings.baseline.items()
        )
        if findings.baseline:
            yield f"{MEASURES[name].title} with everything on Hyperliquid: {'; '.join(told)}."


def _recommendation(findings: Findings, chosen: Finalist) -> Iterator[str]:
    number = findings.recommended
    several = len(findings.study.objectives) > 1
    why = "nearest to the best of every objective at once" if several else "best"
    if findings.changes:
        told = (f"{path} from {setting(old)} to {setting(new)}" for path, old, new in findings.changes)
        yield f"Trial {number} is recommended: change {', '.join(told)}."
    else:
        yield f"Trial {number} is recommended, which leaves the settings as they are."
    yield f"Of the points that break no constraint on any part it is the {why} where it was searched."
    for name in findings.study.objectives:
        told = (_earned(findings, name, part, judged) for part, judged in chosen.parts.items())
        yield f"{MEASURES[name].title}: {'; '.join(told)}."
    yield from _beaten(findings, chosen)


def _beaten(findings: Findings, chosen: Finalist) -> Iterator[str]:
    """Say where everything on Hyperliquid was better, by the first objective."""
    aim = first_objective(findings)
    lost = [
        PART_TITLES[part]
        for part, judged in chosen.parts.items()
        if part in findings.baseline
        and _badness(findings, judged.figures) > _badness(findings, findings.baseline[part].figures)
    ]
    if lost:
        yield f"Beware: in {MEASURES[aim].title} everything on Hyperliquid was better: {'; '.join(lost)}."


def _earned(findings: Findings, name: str, part: str, judged: Judged) -> str:
    text = f"{PART_TITLES[part]} {said(name, judged.figures[name])}"
    if name in judged.intervals:
        text += f" (90 % interval {interval(name, judged.intervals[name])})"
    if part in findings.baseline:
        figure = findings.baseline[part].figures[name]
        text += f" against {said(name, figure)} with everything on Hyperliquid"
    return text


def _surety(findings: Findings) -> Iterator[str]:
    if findings.significance is None:
        yield "How sure that is cannot be said: there are too few slots of time to compare."
    else:
        yield from _luck(findings.significance)
    aim = first_objective(findings)
    direction = findings.study.objectives[aim]
    if findings.walk and SEARCHED in findings.baseline:
        won = sum(
            step.chosen is not None and loss(aim, step.after, direction) < loss(aim, step.baseline, direction)
            for step in findings.walk
        )
        yield (
            f"Choosing on the past alone would have beaten everything on Hyperliquid in {MEASURES[aim].title} in "
            f"{won} of {len(findings.walk)} segments of time after it."
        )
    for name, ends in findings.user_intervals.items():
        yield (
            f"As far as it hangs on which users there are, {MEASURES[name].title} lies within "
            f"{interval(name, ends)} (90 %, each group of users left out in turn)."
        )


def _luck(found: Significance) -> Iterator[str]:
    low, high = found.interval
    gain = found.gain_per_slot
    compared = (
        f"Against everything on Hyperliquid it earned {amount(abs(gain))} USDC {'more' if gain > 0 else 'less'} per "
        f"slot of time (90 % interval of the difference {signed(low)} … {signed(high)}, {found.slots} slots)"
    )
    if gain <= 0:
        yield f"{compared}: there is no gain that could be luck."
    else:
        # One of many is never surer than alone, though the two tests are different ones.
        alone, among = (
            next(words for level, words in _LUCK if p_value <= level)
            for p_value in (found.p_value, max(found.p_value, found.p_best_of_all))
        )
        yield (
            f"{compared}. Taken alone that {alone} (p = {found.p_value:.3f}); as one of {found.trials} points tried "
            f"it {among} (p = {found.p_best_of_all:.3f})."
        )
    if found.overfit is not None:
        yield (
            f"The point that gains most in one half of the time is in the lower half of all points in the other "
            f"with a probability of {share(found.overfit)}; at 50 % choosing would be no better than drawing lots."
        )


def _wrong(findings: Findings) -> Iterator[str]:
    """Say what it costs to be wrong: the worst neighbour and the worst stress, by the first objective."""
    aim = first_objective(findings)
    near = [(each, each.figures) for each in findings.neighbours if each.figures is not None]
    if near:
        breaking = sum(bool(each.broken) for each, _ in near)
        worst, figures = max(near, key=lambda pair: _badness(findings, pair[1]))
        yield (
            f"Moved by one step in one setting, the worst of {len(near)} neighbours is {worst.path} = "
            f"{setting(worst.value)}, {MEASURES[aim].title} {said(aim, figures[aim])}; {breaking} of them break a "
            "constraint."
        )
    tried = [(each, each.chosen) for each in findings.stress if each.chosen is not None]
    if tried:
        hard, figures = max(tried, key=lambda pair: _badness(findings, pair[1]))
        own = "nothing to compare" if hard.own is None else said(aim, hard.own[aim])
        yield (
            f"The worst of {len(tried)} stress scenarios is {hard.scenario}: {MEASURES[aim].title} "
            f"{said(aim, figures[aim])} (with that scenario's own settings: {own})."
        )
    for each, _ in tried:
        if each.broken:
            yield f"On {each.scenario} the recommended settings break {broken_text(each.broken)}."
    for each in findings.stress:
        if each.message:
            yield f"Stress scenario {each.scenario} could not be run: {each.message}."


def _badness(findings: Findings, figures: Figures) -> Decimal:
    aim = first_objective(findings)
    return loss(aim, figures[aim], findings.study.objectives[aim])
