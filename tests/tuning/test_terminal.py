import io
from dataclasses import replace

import pytest
from rich.console import Console

from backtest.tuning.report.words import number
from backtest.tuning.terminal import print_findings

from .made_findings import made_findings


def printed(findings, width: int = 100) -> str:
    file = io.StringIO()
    print_findings(Console(file=file, width=width), findings)
    return file.getvalue()


def test_a_recommendation_fits_on_a_screen_with_all_that_must_be_known() -> None:
    findings = made_findings(3)
    text = printed(findings)
    flowing = " ".join(text.split())
    for words in (
        f"Trial {findings.recommended} is recommended",
        "routing.*.normal_threshold",
        "not set",
        "House PnL, USDC",
        "Lowest margin ratio at Hyperliquid, %",
        "all on HL",
        *findings.summary[1:],
        "120 finished, 31 stopped, 4 refused, 1 failed",
    ):
        assert words in flowing
    assert max(map(len, text.splitlines())) <= 100
    assert len(text.splitlines()) <= 40


def test_numbers_stay_whole_on_a_narrow_screen() -> None:
    findings = made_findings(3)
    text = printed(findings, width=80)
    chosen = next(each for each in findings.finalists if each.point.number == findings.recommended)
    for judged in chosen.parts.values():
        assert number("house_pnl", judged.figures["house_pnl"]) in text
    assert max(map(len, text.splitlines())) <= 80


def test_of_several_runs_the_recommended_and_the_baseline_are_shown() -> None:
    findings = made_findings()
    others = {each.point.number for each in findings.finalists} - {findings.recommended}
    assert others
    text = printed(findings)
    assert f"trial {findings.recommended} ★" in text
    assert not [number for number in others if f"trial {number} " in text]


def test_without_a_recommendation_the_reason_is_told() -> None:
    text = printed(made_findings(recommends=False, checked=False))
    assert "No settings are recommended. Every one of the 5 finalists breaks a constraint" in text
    assert "before" not in text


def test_names_are_never_taken_for_markup() -> None:
    findings = made_findings(description="[red]half[/] [/nonsense]")
    assert "[red]half[/] [/nonsense]" in printed(replace(findings, summary=("first", "[bold]so[/bold]")))
    assert "• [bold]so[/bold]" in printed(replace(findings, summary=("first", "[bold]so[/bold]")))


@pytest.mark.parametrize("trials", [0, 1])
def test_a_study_that_found_nothing_can_be_printed(trials: int) -> None:
    findings = made_findings(recommends=False, checked=False, trials=trials)
    text = printed(replace(findings, finalists=(), baseline={}, counts={}))
    assert "none yet" in text
    assert "all on HL" not in text
