import json
import re
from dataclasses import replace
from decimal import Decimal
from statistics import median
from typing import Any

import pytest

from backtest.tuning.findings import Findings, Point, Significance
from backtest.tuning.report import plots_checks, plots_search
from backtest.tuning.report.headlines import cards, lead, significance_sentences
from backtest.tuning.report.page import render
from backtest.tuning.report.panels import on_axis
from backtest.tuning.report.words import (
    broken_text,
    interval,
    limit_text,
    meaning,
    number,
    recommended,
    said,
    setting,
    setting_unit,
    share,
)
from backtest.tuning.space import Parameter
from backtest.tuning.study import Limit
from risk.settings import HOUR_NS

from .made_findings import SPACE, START_NS, made_findings

D = Decimal
ALWAYS = [
    "In plain words",
    "What changes",
    "Searched against held out",
    "How sure",
    "Walk-forward",
    "Neighbourhood",
    "Stress",
    "Setting by setting",
    "Trials",
    "Provenance",
]
STUDIES = {
    "three objectives": {"objectives": 3},
    "two": {"objectives": 2},
    "one, nothing held out": {"objectives": 1, "held_out": False},
    "nothing recommended, nothing checked": {"recommends": False, "checked": False},
    "one setting": {"space": {"risk.hedge_debounce": {"low": "1s", "high": "9s"}}},
    "choices only": {
        "space": {"risk.hedge_tiers": SPACE["risk.hedge_tiers"], "seed": {"choices": [1, 2, 3]}}
    },
    "no constraints": {"objectives": 1, "constraints": {}},
    "few trials": {"trials": 9},
}


def embedded(html: str) -> dict[str, Any]:
    (text,) = re.findall(r"<script id='figures' type='application/json'>(.*?)</script>", html, re.DOTALL)
    found: dict[str, Any] = json.loads(text, parse_constant=pytest.fail)
    return found


def outside_scripts(html: str) -> str:
    return re.sub(r"<(script|style)\b.*?</\1>", "", html, flags=re.DOTALL)


def rows_of(html: str, heading: str) -> list[str]:
    part = html.split(f"<h2>{heading}</h2>")[1].split("</section>")[0]
    return re.findall(r"<tr>(.*?)</tr>", part.split("<tbody>")[1])


def point(findings: Findings, number: int | None) -> Point:
    return next(p for p in findings.points if p.number == number)


@pytest.mark.parametrize("name", STUDIES)
def test_every_section_and_every_figure_has_its_place(name: str) -> None:
    findings = made_findings(**STUDIES[name])
    html = render(findings)
    body, figures = outside_scripts(html), embedded(html)
    titles = re.findall(r"<h2>(.*?)</h2>", body)
    assert [title for title in ALWAYS if title not in titles] == []
    assert sorted(re.findall(r"<div id='(\w+)'", body)) == sorted(figures)
    assert ("Trade-offs" in titles) == (len(findings.study.objectives) > 1)
    assert ("Course of the search" in titles) == (len(findings.study.objectives) == 1)
    assert "None" not in re.sub(r"<[^>]*>", "", body).replace("None kept", "")


@pytest.mark.parametrize("name", STUDIES)
def test_every_axis_that_measures_has_a_title(name: str) -> None:
    for figure in embedded(render(made_findings(**STUDIES[name]))).values():
        axes = {key: axis for key, axis in figure["layout"].items() if re.match(r"[xy]axis", key)}
        listing = {key for key, axis in axes.items() if axis.get("type") == "category"}
        assert [key for key in axes.keys() - listing if not axes[key]["title"]["text"]] == []
        used = {
            f"{trace.get(letter + 'axis', letter)[0]}axis{trace.get(letter + 'axis', letter)[1:]}"
            for trace in figure["data"]
            for letter in "xy"
        }
        assert used <= axes.keys()


def test_names_are_text_and_never_markup() -> None:
    findings = replace(made_findings(), reason="<i>", summary=("</script><img src=x>",))
    html = render(findings)
    assert "&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt; &amp; what size" in html
    assert "<script>alert" not in html
    assert "<img" not in outside_scripts(html)
    assert "A quiet day &lt;without&gt; direction" in html


def test_a_study_without_a_finished_trial_has_a_report() -> None:
    empty = made_findings(recommends=False, checked=False, trials=0)
    findings = replace(empty, finalists=(), baseline={}, importance={}, counts={"failed": 3}, provenance={})
    html = render(findings)
    assert embedded(html) == {}
    assert "No trial was finished" in html
    assert "Nothing was run after the search" in html


def test_the_recommended_trial_is_marked_once_and_at_its_place() -> None:
    findings = made_findings(2)
    chosen = point(findings, findings.recommended)
    stars = [t for t in plots_search.trade_offs(findings)["data"] if t.get("name") == "recommended"]
    assert [(star["x"], star["y"]) for star in stars] == [
        (
            [pytest.approx(float(chosen.figures["house_pnl"] or 0), rel=1e-6)],
            [pytest.approx(float(chosen.figures["max_drawdown"] or 0), rel=1e-6)],
        )
    ]


def test_every_trial_is_drawn_once_and_those_that_break_a_constraint_apart() -> None:
    findings = made_findings(3)
    panels = plots_search.trade_offs(findings)["data"]
    first = [t for t in panels if t["xaxis"] == "x" and t["name"] != "everything on Hyperliquid"]
    assert sum(len(trace["x"]) for trace in first) == len(findings.points)
    (grey,) = [trace for trace in first if trace["name"] == "breaks a constraint"]
    assert len(grey["x"]) == sum(bool(p.broken) for p in findings.points) > 0
    # A trial without a margin ratio cannot be drawn against it.
    known = sum(p.figures["margin_ratio"] is not None for p in findings.points)
    second = [t for t in panels if t["xaxis"] == "x2" and t["name"] != "everything on Hyperliquid"]
    assert sum(len(trace["x"]) for trace in second) == known < len(findings.points)


@pytest.mark.parametrize(("way", "best"), [("maximize", max), ("minimize", min)])
def test_the_best_so_far_is_that_of_the_feasible_trials_before(way: str, best: Any) -> None:
    findings = made_findings(objectives={"house_pnl": way})
    (line,) = [t for t in plots_search.history(findings)["data"] if t.get("name") == "best so far"]
    for at, value in zip(line["x"], line["y"], strict=True):
        before = [p.figures["house_pnl"] for p in findings.points if p.number <= at and not p.broken]
        assert value == pytest.approx(float(best(before)), rel=1e-6)


def test_a_cell_of_the_landscape_holds_the_median_of_its_own_trials_or_nothing() -> None:
    findings = made_findings(2)
    figure = plots_search.landscape(findings)
    heat = figure["data"][0]
    assert figure["layout"]["xaxis"]["type"] == "log"
    across, up = plots_search.by_importance(findings)[:2]
    spaces = findings.study.space

    def inside(edges: list[float], i: int, at: float) -> bool:
        return edges[i] <= at < edges[i + 1] or (i == len(edges) - 2 and at == edges[-1])

    filled = 0
    for i, row in enumerate(heat["z"]):
        for j, value in enumerate(row):
            own = [
                float(p.figures["house_pnl"] or 0)
                for p in findings.points
                if inside(heat["x"], j, float(on_axis(spaces[across], p.values[across])))
                and inside(heat["y"], i, float(on_axis(spaces[up], p.values[up])))
            ]
            assert heat["customdata"][i][j] == len(own)
            assert value == (pytest.approx(median(own), rel=1e-6) if own else None)
            filled += len(own)
    assert filled == len(findings.points)
    assert any(value is None for row in heat["z"] for value in row)


def test_whiskers_end_where_the_intervals_do() -> None:
    findings = made_findings(1)
    figure = plots_checks.parts(findings)
    chosen = recommended(findings)
    assert chosen is not None
    (mark,) = [t for t in figure["data"] if t["xaxis"] == "x" and "★" in t["text"][0]]
    low, high = chosen.parts["searched"].intervals["house_pnl"]
    bars = mark["error_x"]
    assert mark["x"][0] - bars["arrayminus"][0] == pytest.approx(low, rel=1e-6)
    assert mark["x"][0] + bars["array"][0] == pytest.approx(high, rel=1e-6)


def test_steps_that_do_not_begin_at_midnight_are_told_apart_by_the_hour() -> None:
    findings = made_findings(1)
    hourly = tuple(
        replace(step, edge_ns=START_NS + i * HOUR_NS, end_ns=START_NS + (i + 1) * HOUR_NS)
        for i, step in enumerate(findings.walk, 1)
    )
    for steps, first in ((findings.walk, "2023-06-08<br>– 2023-06-24"), (hourly, "2023-05-23 01:00<br>– ")):
        bars = plots_checks.walk(replace(findings, walk=steps))["data"]
        assert [len(set(bar["x"])) for bar in bars] == [len(steps)] * 2
        assert bars[0]["x"][0].startswith(first)


def test_neighbours_are_drawn_as_changes_in_the_unit_of_the_axis() -> None:
    findings = made_findings(3)
    chosen = recommended(findings)
    assert chosen is not None
    bars = [t for t in plots_checks.neighbours(findings, chosen)["data"] if t["xaxis"] == "x3"]
    moves = {
        float((each.figures["margin_ratio"] or 0) - (chosen.point.figures["margin_ratio"] or 0)) * 100
        for each in findings.neighbours
        if each.figures is not None
    }
    drawn = [x for bar in bars for x in bar["x"]]
    assert sorted(drawn) == pytest.approx(sorted(moves), rel=1e-5)


def test_the_stress_table_shows_in_red_what_is_broken_and_names_what_is_missing() -> None:
    calm, crash, missing = rows_of(render(made_findings()), "Stress")
    assert "bad" not in re.findall(r"class='([^']*)'", calm)
    assert re.search(r"<td class='bad' [^>]*>771\.43</td>", crash)
    assert "Bad debt by 720.50 USDC" in crash
    assert "run hybrid-perps data fetch, then data import" in missing
    assert missing.count("–</td>") == 6


def test_the_table_of_trials_holds_every_trial_and_sorts_by_exact_figures() -> None:
    findings = made_findings()
    rows = rows_of(render(findings), "Trials")
    assert len(rows) == len(findings.points)
    for shown, trial in zip(rows, findings.points, strict=True):
        assert trial.digest[:12] in shown
        assert f"data-value='{trial.figures['house_pnl']}'" in shown
        assert ("class='text bad'" in shown) == bool(trial.broken)
        debounce = trial.values["risk.hedge_debounce"]
        assert f"data-value='{float(debounce.removesuffix('s'))}'>{debounce}<" in shown


def test_the_lead_says_what_was_seen_where_or_why_nothing_is_recommended() -> None:
    assert "which the search never saw (everything on Hyperliquid: " in lead(made_findings())
    alone = lead(made_findings(held_out=False))
    assert "so how it does on anything new is unknown." in alone
    assert alone.endswith(
        "What it gained over everything on Hyperliquid where it was searched may be luck (p = 0.06)."
    )
    told = lead(made_findings(recommends=False))
    assert told.startswith("No settings are recommended. Every one of the 5 finalists")


def test_cards_turn_red_with_a_broken_constraint_and_with_less_than_the_baseline() -> None:
    findings = made_findings()
    chosen = recommended(findings)
    assert chosen is not None
    worse = dict(chosen.parts)
    part = worse["later, other users"]
    worse["later, other users"] = replace(
        part, figures={**part.figures, "house_pnl": D(-5)}, broken={"bad_debt": D(3)}
    )
    others = tuple(each for each in findings.finalists if each is not chosen)
    broken = replace(findings, finalists=(*others, replace(chosen, parts=worse)))
    tones = {card.label: card.tone for card in cards(broken)}
    assert (tones["Constraints"], tones["House PnL, held out"]) == ("bad", "bad")
    tones = {card.label: card.tone for card in cards(findings)}
    assert (tones["Constraints"], tones["House PnL"], tones["Worst drawdown"]) == ("good", "good", "")
    searched = findings.baseline["searched"]
    rich = replace(searched, figures={**searched.figures, "house_pnl": D(10**6)})
    beaten = replace(findings, baseline={**findings.baseline, "searched": rich})
    assert {card.label: card.tone for card in cards(beaten)}["House PnL"] == "bad"


def test_significance_is_told_in_words_with_its_numbers() -> None:
    told = " ".join(
        significance_sentences(Significance(63, 120, -21.5, (-40.0, 3.0), 0.0004, 0.31, None, None))
    )
    assert "earned 21.50 USDC a slot less than everything on Hyperliquid" in told
    assert "between −40.00 and +3.00, which includes no difference at all" in told
    assert "under 0.1 %" in told
    assert "31 % (White's reality check)" in told
    assert "Sharpe" not in told
    assert "overfitting" not in told
    (told,) = significance_sentences(None)
    assert told.startswith("Not judged")


@pytest.mark.parametrize(
    ("measure", "value", "expected"),
    [
        ("house_pnl", D("12345.678"), "+12 346 USDC"),
        ("house_pnl", D("-999.5"), "−999.50 USDC"),
        ("max_drawdown", D("1234567"), "1 234 567 USDC"),
        ("margin_ratio", D("1.5"), "150 %"),
        ("internal_share", D("0.4567"), "45.7 %"),
        ("liquidations", D(12345), "12 345"),
        ("hours_over_limit", D("3.25"), "3.2 h"),
        ("pnl_bps", D("-1.26"), "−1.3 bps"),
        ("bad_debt", D("0.000"), "0 USDC"),
        ("bad_debt", None, "–"),
        ("max_drawdown", D("0.004"), "0 USDC"),
    ],
)
def test_figures_are_written_for_people(measure: str, value: Decimal | None, expected: str) -> None:
    assert said(measure, value) == expected
    assert number(measure, value) == expected.split(" USDC")[0].split(" %")[0].split(" h")[0].split(" bps")[0]


def test_settings_limits_and_shares_are_written_for_people() -> None:
    assert [setting(value) for value in (D("12000.50"), 7, "5s", True, [1, D("0.50")])] == [
        "12 000.5",
        "7",
        "5s",
        "true",
        "[1, 0.5]",
    ]
    assert limit_text("margin_ratio", Limit(min=D("1.5"), max=9)) == (
        "Lowest margin ratio at Hyperliquid at least 150 % and at most 900 %"
    )
    assert broken_text({"house_pnl": D("12"), "margin_ratio": D("0.25"), "liquidations": D(3)}) == (
        "House PnL by 12.00 USDC; Lowest margin ratio at Hyperliquid by 25.0 %; Liquidations by 3"
    )
    assert interval("house_pnl", (-12.5, 4321.0)) == "−12.50 … 4 321"
    assert [share(value) for value in (0.0, 0.0123, 0.5, None)] == ["under 0.1 %", "1.2 %", "50 %", "–"]


def test_meanings_and_units_come_from_the_scenario_s_own_texts() -> None:
    assert meaning("routing.BTC.normal_threshold") == "USDC; INTERNAL up to it in NORMAL_MODE"
    assert meaning("venue.order_latency") == "from our decision to the venue's book"
    assert [meaning(path) for path in ("seed", "risk.taker_fee_rate", "outages.0.lasts")] == ["", "", ""]
    units = [setting_unit(path) for path in ("risk.total_exposure_cap", "risk.hedge_drift_share")]
    assert units == ["USDC", ""]


def test_places_on_an_axis() -> None:
    assert on_axis(Parameter(low="500ms", high="2m"), "1.5s") == 1.5
    assert on_axis(Parameter(low=1, high=9), 4) == 4
    assert on_axis(Parameter(choices=(False, True)), True) == "true"
    assert on_axis(Parameter(choices=("a" * 30, "b")), "b") == "choice 2"
