"""What a study came to, in sentences and headlines, shared by report and terminal."""

from collections.abc import Mapping, Sequence
from decimal import Decimal

from backtest.estimates import ALL_HYPERLIQUID
from backtest.report.summary import Card, amount, count, signed
from backtest.tuning.findings import SEARCHED, Finalist, Findings, Judged, Significance
from backtest.tuning.measures import MEASURES
from backtest.tuning.report.words import (
    PART_TITLES,
    first_objective,
    hardest_part,
    interval,
    number,
    recommended,
    said,
    share,
    unit,
)
from backtest.tuning.study import Study

UNLIKELY = 0.05  # a gain that luck alone brings no more often


def lead(findings: Findings) -> str:
    """Say in a sentence or two what is recommended and what it came to, or why nothing is."""
    chosen, aim = recommended(findings), first_objective(findings)
    if chosen is None:
        return f"No settings are recommended. {_sentence(findings.reason)}"
    title = MEASURES[aim].title
    words = (
        f"Trial {chosen.point.number} is recommended: {title} {said(aim, chosen.point.figures[aim])} on the "
    )
    words += f"part that was searched{_against(findings, SEARCHED, aim)}"
    part = hardest_part(chosen.parts)
    if part is None:
        words += ". Nothing was held out, so how it does on anything new is unknown"
    else:
        figure = said(aim, chosen.parts[part].figures[aim])
        words += f", and {figure} on {PART_TITLES[part]}, which the search never saw{_against(findings, part, aim)}"
    return f"{words}.{_doubt(findings.significance)}"


def _doubt(found: Significance | None) -> str:
    """Say so where a gain may be luck: nobody should learn it only further down."""
    if found is None or found.gain_per_slot <= 0:
        return ""
    p_value = max(found.p_value, found.p_best_of_all)
    if p_value <= UNLIKELY:
        return ""
    return f" What it gained over {ALL_HYPERLIQUID} where it was searched may be luck (p = {p_value:.2f})."


def _against(findings: Findings, part: str, aim: str) -> str:
    if part not in findings.baseline:
        return ""
    return f" ({ALL_HYPERLIQUID}: {said(aim, findings.baseline[part].figures[aim])})"


def cards(findings: Findings) -> list[Card]:
    """Return the headlines of a study."""
    chosen = recommended(findings)
    made = (
        []
        if chosen is None
        else [_objective_card(findings, chosen.parts[SEARCHED], aim) for aim in findings.study.objectives]
    )
    if chosen is not None and (part := hardest_part(chosen.parts)) is not None:
        made.append(_held_out_card(findings, chosen.parts[part], part))
    made += [_constraint_card(findings, chosen)]
    if findings.significance is not None:
        made += _luck_cards(findings.significance)
    return [*made, _trials_card(findings)]


def _objective_card(findings: Findings, judged: Judged, aim: str) -> Card:
    """Show an objective where it was searched; only the first is coloured, as the others are what it costs."""
    ends = interval(aim, judged.intervals.get(aim))
    more = f"searched; 90 %: {ends}" if ends else "searched"
    tone = _tone(findings, judged, SEARCHED) if aim == first_objective(findings) else ""
    return Card(MEASURES[aim].title, number(aim, judged.figures[aim]), unit(aim), more, tone)


def _held_out_card(findings: Findings, judged: Judged, part: str) -> Card:
    aim = first_objective(findings)
    baseline = findings.baseline[part].figures[aim] if part in findings.baseline else None
    more = f"{PART_TITLES[part]}; all on Hyperliquid {number(aim, baseline)}"
    title = f"{MEASURES[aim].title}, held out"
    return Card(title, number(aim, judged.figures[aim]), unit(aim), more, _tone(findings, judged, part))


def _tone(findings: Findings, judged: Judged, part: str) -> str:
    """Say whether the first objective is better or worse than with everything on Hyperliquid."""
    aim = first_objective(findings)
    figure = judged.figures[aim]
    other = findings.baseline[part].figures[aim] if part in findings.baseline else None
    if figure is None or other is None:
        return ""
    return "good" if _is_better(aim, findings.study, figure, other) else "bad"


def _is_better(aim: str, study: Study, figure: Decimal, other: Decimal) -> bool:
    return figure > other if study.objectives[aim] == "maximize" else figure < other


def _constraint_card(findings: Findings, chosen: Finalist | None) -> Card:
    asked = len(findings.study.constraints)
    if not asked:
        return Card("Constraints", "none", "", "the study has none")
    if chosen is None:
        feasible = sum(not point.broken for point in findings.points)
        more = f"of {count(len(findings.points))} finished trials keep all constraints ({asked})"
        return Card("Feasible", count(feasible), "", more, "warn" if feasible else "bad")
    broken = [PART_TITLES[part] for part, judged in chosen.parts.items() if judged.broken]
    if broken:
        return Card("Constraints", "broken", "", f"on {'; '.join(broken)}", "bad")
    return Card("Constraints", "kept", "", f"all {asked}, on every part that was run", "good")


def _luck_cards(found: Significance) -> list[Card]:
    tone = "good" if found.p_best_of_all <= 0.05 else "warn" if found.p_best_of_all <= 0.2 else "bad"
    more = f"better than all on Hyperliquid, best of {count(found.trials)} tried"
    made = [Card("By luck alone", share(found.p_best_of_all), "", more, tone)]
    if found.overfit is not None:
        tone = "good" if found.overfit <= 0.2 else "warn" if found.overfit <= 0.5 else "bad"
        made.append(Card("Probability of overfitting", share(found.overfit), "", "cross-validated", tone))
    return made


def _trials_card(findings: Findings) -> Card:
    total = sum(findings.counts.values())
    failed = findings.counts.get("failed", 0)
    return Card("Trials", count(total), "", counts_text(findings.counts), "warn" if failed else "")


def counts_text(counts: Mapping[str, int]) -> str:
    """Say how many trials ended in which way."""
    return ", ".join(f"{count(number)} {state}" for state, number in counts.items() if number) or "none yet"


def significance_sentences(found: Significance | None) -> Sequence[str]:
    """Say in words how sure it is that the recommended point beats everything on Hyperliquid."""
    if found is None:
        return ["Not judged: there is no recommended point, or too few slots of time to compare it by."]
    low, high = found.interval
    gain = found.gain_per_slot
    words = [
        f"Over {count(found.slots)} slots of time (days, or hours in runs under ten days) it earned "
        f"{amount(abs(gain))} USDC a slot {'more' if gain >= 0 else 'less'} than {ALL_HYPERLIQUID}; with 90 % "
        f"confidence between {signed(low)} and {signed(high)}"
        f"{', which includes no difference at all' if low <= 0 <= high else ''}.",
        "Were there no difference, a gain at least as large would come up with a probability of "
        f"{share(found.p_value)} (sign-flip permutation, this point alone).",
        f"Having tried {count(found.trials)} points, the best of them would look so good by luck with a "
        f"probability of {share(found.p_best_of_all)} (White's reality check).",
    ]
    if found.deflated_sharpe is not None:
        words.append(
            "The probability that its Sharpe ratio is above what the best of so many would show by luck is "
            f"{share(found.deflated_sharpe)} (deflated Sharpe ratio)."
        )
    if found.overfit is not None:
        words.append(
            f"In {share(found.overfit)} of the ways to split the time in halves, the best point of one half came "
            "out below the median in the other (probability of backtest overfitting)."
        )
    return words


def _sentence(text: str) -> str:
    return text if text.endswith(".") or not text else f"{text[0].upper()}{text[1:]}."
