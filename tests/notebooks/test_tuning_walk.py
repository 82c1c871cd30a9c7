"""The walk through tuning runs, and ends as its prose says."""

from tests.notebooks.executed import named, run

# What the prose tells of the results, asked in a last cell: a change of the rules must not make it untrue.
AS_TOLD = """
later = chosen and next(each for each in findings.finalists if each.point is chosen).parts["later"]
print(
    "as told:",
    findings.recommended is not None and sure.p_value > 0.05,
    chosen.figures["house_pnl"] > 10 * abs(later.figures["house_pnl"]),
    "stopped" in trials["state"],
    all(part.startswith("later") for each in refused.finalists for part, own in each.parts.items() if own.broken),
)
"""


def test_the_tuning_walk_recommends_with_doubts_repeats_a_digest_and_refuses(tmp_path, monkeypatch) -> None:
    """What its prose says of its own results must stay true."""
    printed = run(named("03-tuning"), tmp_path, monkeypatch, after=AS_TOLD)
    assert "the same run: True" in printed
    assert "recommended: nothing" in printed
    assert "as told: True True True True" in printed
