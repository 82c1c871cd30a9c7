"""The stress tests run, and end as their prose says."""

from tests.notebooks.executed import named, run

# What the prose tells of the results, asked in a last cell: a change of the rules must not make it untrue.
AS_TOLD = """
pnl = {key: float(result.metrics["house_pnl"]["total"]) for key, result in results.items()}
bps = closes.group_by("rule").agg(pl.col("worse_bps").max()).rows_by_key("rule")
survivors = survived.filter(pl.all_horizontal(pl.col(stress) == "✓" for stress in STRESSES))["rule"]
print(
    "as told:",
    pnl["flash-crash", "no hedge"] > 0 > pnl["flash-crash", "all of it"],
    pnl["one-way-crowd", "all of it"] > 0 > pnl["one-way-crowd", "no hedge"],
    figures["all, poor, 10x", "flash-crash"]["hedge_margin_ratio"] < 1,
    bps["whole, cap 0.2 %"] < bps["whole, cap 2 %"],
    "all of it" in survivors and "no hedge" not in survivors,
)
"""


def test_the_stress_tests_end_as_their_prose_says(tmp_path, monkeypatch) -> None:
    printed = run(named("04-hedging-and-liquidation-stress"), tmp_path, monkeypatch, after=AS_TOLD)
    assert "as told: True True True True True" in printed
