"""The tuning report: one HTML file, from what is recommended and why, through the evidence, to every trial."""

from collections.abc import Sequence
from html import escape

from backtest.estimates import ALL_HYPERLIQUID
from backtest.report.html import Figures, page, plot, section, table
from backtest.report.summary import Card, count
from backtest.tuning.findings import Findings
from backtest.tuning.report import plots_checks, plots_search, tables
from backtest.tuning.report.headlines import cards, lead, significance_sentences
from backtest.tuning.report.words import first_objective, heading, in_order, recommended
from backtest.tuning.study_toml import dump_study

_PARTS = (
    "Objectives of the best points on the part that was searched and on those that were held out, with 90 % intervals "
    "where slots of time could be resampled. The parts differ in length and in users, so each panel has its own scale: "
    "compare settings within one part, not one part with another. In the table red: a constraint broken."
)
_WALK = (
    "At each step the best feasible trial on all time before is tested on the time right after; what it earned where "
    "it was chosen covers a longer time and is no forecast."
)
_NEIGHBOURS = (
    "The recommended point with one setting moved at a time, to its next value on either side. Where small moves "
    "change much or break a constraint, the point is a lucky spike, not a plateau."
)
_STRESS = (
    "The recommended routing and risk settings, starting capital among them, on other markets and users, beside the "
    "settings those scenarios bring. "
    "Red: a constraint of the study broken there, or a scenario that could not be run."
)
_LANDSCAPE = (
    "The median of the trials in each cell, with every trial as a dot. Cells without a trial stay empty: nothing is "
    "interpolated. The other settings vary within a cell."
)


def render(findings: Findings) -> str:
    """Return the report's HTML: one self-contained page."""
    figures = _figures(findings)
    study = findings.study
    body = [
        f"<h1>{escape(study.name)}</h1><p class='note'>{escape(study.description)}<br>"
        f"Tuning of {escape(study.scenario)}: {_aims(findings)}</p>",
        f"<p class='lead'>{escape(lead(findings))}</p>",
        f"<div class='cards'>{''.join(map(_card, cards(findings)))}</div>",
        _summary(findings),
        _changes(findings),
        _parts(findings, figures),
        _certainty(findings, figures),
        _walk(findings, figures),
        _neighbours(findings, figures),
        _stress(findings),
        _search(findings, figures),
        _trials(findings),
        _provenance(findings),
    ]
    return page(f"{study.name}: tuning", "\n".join(body), figures)


def _figures(findings: Findings) -> Figures:
    chosen = recommended(findings)
    found = {"parts": plots_checks.parts(findings)} if in_order(findings) else {}
    if chosen is not None:
        found["intervals"] = plots_checks.intervals(findings, chosen)
    if findings.walk:
        found["walk"] = plots_checks.walk(findings)
    if chosen is not None and findings.neighbours:
        found["neighbours"] = plots_checks.neighbours(findings, chosen)
    if findings.points:
        several = len(findings.study.objectives) > 1
        found["objectives"] = (plots_search.trade_offs if several else plots_search.history)(findings)
        found["slices"] = plots_search.slices(findings)
    if any(findings.importance.values()):
        found["importance"] = plots_search.importance(findings)
    if plots_search.has_landscape(findings):
        found["landscape"] = plots_search.landscape(findings)
    return found


def _aims(findings: Findings) -> str:
    aims = [f"{way} {heading(name)}" for name, way in findings.study.objectives.items()]
    limits = tables.constraints(findings)
    kept = f"; keep {'; '.join(limits)}" if limits else ""
    return escape("; ".join(aims) + kept)


def _card(card: Card) -> str:
    return (
        f"<div class='card {card.tone}'><div class='label'>{escape(card.label)}</div>"
        f"<div class='value'>{escape(card.value)} <small>{escape(card.unit)}</small></div>"
        f"<div class='more'>{escape(card.more)}</div></div>"
    )


def _sentences(sentences: Sequence[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(each)}</li>' for each in sentences)}</ul>"


def _summary(findings: Findings) -> str:
    return section("In plain words", "", _sentences(findings.summary)) if findings.summary else ""


def _changes(findings: Findings) -> str:
    if not findings.changes:
        why = "no settings are recommended" if findings.recommended is None else "they are best as they are"
        return section("What changes", f"Nothing: {why}.")
    text = (
        f"Settings that differ from {findings.study.scenario}. All of them, complete, stand in recommended.toml: "
        "a scenario that `hybrid-perps backtest` takes, whole or by --settings for its routing and risk alone."
    )
    return section("What changes", text, tables.changes(findings))


def _parts(findings: Findings, figures: Figures) -> str:
    if "parts" not in figures:
        return section("Searched against held out", "Nothing was run after the search.")
    vetoes = tables.vetoes(findings)
    said = f"<h3>Finalists that cannot be recommended</h3>{_sentences(vetoes)}" if vetoes else ""
    return section("Searched against held out", _PARTS, plot("parts", figures), tables.parts(findings), said)


def _certainty(findings: Findings, figures: Figures) -> str:
    text = (
        "The recommended point's objectives where it was searched, with 90 % intervals; and how likely its gain is "
        "luck."
        if "intervals" in figures
        else ""
    )
    drawn = plot("intervals", figures) if "intervals" in figures else ""
    heading_html = f"<h3>Against {escape(ALL_HYPERLIQUID)}</h3>"
    return section(
        "How sure", text, drawn, heading_html, _sentences(significance_sentences(findings.significance))
    )


def _walk(findings: Findings, figures: Figures) -> str:
    if not findings.walk:
        return section("Walk-forward", "Not done: the study asks for none, or the time was too short.")
    return section("Walk-forward", _WALK, plot("walk", figures), tables.walk(findings))


def _neighbours(findings: Findings, figures: Figures) -> str:
    if "neighbours" not in figures:
        return section("Neighbourhood", "Not run: the study asks for none, or nothing is recommended.")
    return section("Neighbourhood", _NEIGHBOURS, plot("neighbours", figures), tables.neighbours(findings))


def _stress(findings: Findings) -> str:
    if not findings.stress:
        return section("Stress", "Not run: the study names no scenario, or nothing is recommended.")
    return section("Stress", _STRESS, tables.stress(findings))


def _search(findings: Findings, figures: Figures) -> str:
    if not findings.points:
        return section("The search", "No trial was finished, so there is nothing to draw.")
    several = len(findings.study.objectives) > 1
    title = "Trade-offs" if several else "Course of the search"
    text = (
        "Every finished trial, objectives against each other. On the front none is better in every objective; trials "
        "that break a constraint are grey."
        if several
        else "Every finished trial in the order proposed, and the best so far that keeps every constraint."
    )
    made = [section(title, text, plot("objectives", figures))]
    if "importance" in figures:
        text = "Estimated from the trials; settings may act together, so small shares are not nothing."
        made.append(section("What matters", text, plot("importance", figures)))
    left_out = max(0, len(findings.study.space) - plots_search.MOST_SLICES)
    text = "Each trial's setting against its objectives, settings that matter most first."
    text += f" {left_out} more settings, less important, are in the table of trials." if left_out else ""
    made.append(section("Setting by setting", text, plot("slices", figures)))
    if "landscape" in figures:
        title = f"{heading(first_objective(findings))}, over the two settings that matter most"
        made.append(section(title, _LANDSCAPE, plot("landscape", figures)))
    if findings.narrowed:
        text = "Ranges that a fast look at routing and exposure alone left for the search."
        made.append(section("Pre-search", text, tables.narrowed(findings)))
    return "\n".join(made)


def _trials(findings: Findings) -> str:
    unfinished = {
        state: number for state, number in findings.counts.items() if state != "finished" and number
    }
    rest = ", ".join(f"{count(number)} {state}" for state, number in unfinished.items())
    text = f"{count(len(findings.points))} finished{f'; {rest}, not in the table' if rest else ''}. "
    return section("Trials", f"{text}Click a heading to sort.", tables.trials(findings))


def _provenance(findings: Findings) -> str:
    return section(
        "Provenance",
        "Enough to run the study again and get the same trials.",
        table(["what", "value"], list(tables.facts(findings.provenance)), text_columns=2),
        f"<details><summary>The study, every value</summary><pre>{escape(dump_study(findings.study))}</pre></details>",
    )
