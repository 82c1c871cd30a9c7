"""The notebook of the trading API runs on a server of its own, and ends as its prose says."""

from tests.notebooks.executed import named, run

# What the prose tells of the results, asked in a last cell: a change of the rules must not make it untrue.
AS_TOLD = """
ratios = [each["ratio"] for each in path if each["ratio"] is not None]
print(
    "as told:",
    ratios == sorted(ratios, reverse=True) and ratios[-1] > 1,
    path[-1]["unrealised"] == 0 and path[-1]["equity"] == float(balance.total_balance),
    fill.price == fill.hl_reference_price and placed == again,
    [row["liquidated at"] for row in rows] == sorted(row["liquidated at"] for row in rows),
)
"""


def test_a_newcomer_trades_and_is_liquidated_on_a_server_of_the_notebook_s_own(tmp_path, monkeypatch) -> None:
    printed = run(named("05-trading-api"), tmp_path, monkeypatch, after=AS_TOLD)
    for said in ("the same answer: True", "refused: 409 INSUFFICIENT_MARGIN", "position: ['LIQUIDATED']"):
        assert said in printed
    assert "changes sum to the balance: True" in printed
    assert "stopped in order: True" in printed
    assert "as told: True True True True" in printed
