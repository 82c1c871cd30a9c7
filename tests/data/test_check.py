"""What the checks find in a frame, and what makes it unusable."""

import io

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from data import frames
from data.check import check_frame, render, require_sound
from risk.errors import InvalidInput

MINUTE_NS = 60_000_000_000
T0 = 1_704_067_200_000_000_000
NAN = float("nan")


def table(schema, rows):
    return pa.table(
        [pa.array(column, field.type) for column, field in zip(zip(*rows, strict=True), schema, strict=True)],
        schema=schema,
    )


def bars(*changes):
    """Six sound one-minute bars, with (row, column, value) changed."""
    rows = [[T0 + n * MINUTE_NS, 100.0 + n, 102.0 + n, 99.0 + n, 101.0 + n, 5.0] for n in range(6)]
    for row, column, value in changes:
        rows[row][frames.BARS.names.index(column)] = value
    return table(frames.BARS, rows)


def kinds(frame, **options):
    return {finding.kind: finding for finding in check_frame(frame, "x", **options).findings}


def test_sound_bars_have_no_findings():
    report = check_frame(bars(), "x")
    assert report.findings == ()
    assert (report.kind, report.rows, report.first_ns, report.last_ns) == ("bars", 6, T0, T0 + 5 * MINUTE_NS)


@pytest.mark.parametrize(
    ("change", "kind", "severity"),
    [
        ((2, "close", NAN), "not_a_number: close", "error"),
        ((2, "volume", float("inf")), "not_a_number: volume", "error"),
        ((2, "low", 0.0), "not_positive: low", "error"),
        ((2, "volume", -1.0), "not_positive: volume", "error"),
        ((2, "high", 90.0), "high_below_low", "error"),
        ((2, "close", 120.0), "close_outside", "error"),
        ((2, "open", 90.0), "open_outside", "error"),
        ((2, "ts_open", T0 + MINUTE_NS), "duplicate", "error"),
        ((2, "ts_open", T0), "out_of_order", "error"),
        ((2, "ts_open", T0 + 90_000_000_000), "uneven", "warn"),
        ((5, "ts_open", T0 + 9 * MINUTE_NS), "gap", "warn"),
    ],
)
def test_one_fault_in_bars_is_found(change, kind, severity):
    finding = kinds(bars(change))[kind]
    assert (finding.severity, finding.count, finding.row) == (severity, 1, change[0] + 1)
    if severity == "error":
        with pytest.raises(InvalidInput, match=rf"^bars\.zip: row {finding.row}: ") as caught:
            require_sound(bars(change), "bars.zip")
        assert "\n" not in str(caught.value)


def test_nulls_are_no_numbers():
    assert "not_a_number: close" in kinds(bars((1, "close", None)))
    with pytest.raises(InvalidInput, match="ts_open was empty"):
        check_frame(bars((1, "ts_open", None)), "x")


def test_a_gap_says_how_many_bars_are_missing():
    assert kinds(bars((5, "ts_open", T0 + 9 * MINUTE_NS)))["gap"].example.startswith(
        "4 bars missing before 2024-01"
    )
    # Every bar is late when the true interval is shorter than the usual distance.
    assert kinds(bars(), interval_ns=MINUTE_NS // 2)["gap"].count == 5


def test_filled_bars_are_flagged_only_where_there_is_volume_at_all():
    flat = [(2, name, 101.0) for name in ("open", "high", "low", "close")]
    assert kinds(bars(*flat, (2, "volume", 0.0)))["filled"].row == 3
    marks = [(row, "volume", 0.0) for row in range(6)]
    assert "filled" not in kinds(bars(*flat, *marks))


def test_a_spike_is_a_warning():
    jump = [(row, name, 200.0 + row) for row in (3, 4, 5) for name in ("open", "high", "low", "close")]
    report = require_sound(bars(*jump), "x")
    (spike,) = report.findings
    assert (spike.kind, spike.severity, spike.row) == ("spike", "warn", 4)
    assert spike.example.startswith("+97.1% to 203.0")


def test_quotes_may_share_a_time_and_be_crossed():
    rows = [(T0, 10.0, 11.0, 1.0, 1.0), (T0, 11.0, 11.0, 1.0, 0.0), (T0, 10.0, 11.0, 1.0, -2.0)]
    found = kinds(table(frames.QUOTES, rows))
    assert found["crossed"].severity == "warn"
    assert found["not_positive: ask_size"].row == 3
    assert len(found) == 2


def test_funding_gaps_and_extreme_rates():
    hour = 60 * MINUTE_NS
    rows = [(T0, 0.0001, 1), (T0 + hour, 0.05, 1), (T0 + 4 * hour, NAN, 1)]
    found = kinds(table(frames.FUNDING, rows))
    assert found["extreme_rate"].row == 2
    assert found["gap"].example == "3.0 h since the last settlement"
    assert found["not_a_number: rate"].severity == "error"


def test_fills_may_repeat_but_not_go_back():
    row = ("f1", T0, "u1", "BTC", "BUY", 100.0, 1.0, True, False)
    later = ("f2", T0 + 1, "u1", "BTC", "BUY", 100.0, 0.0, True, False)
    assert kinds(table(frames.FILLS, [row, row, later])) == {}
    assert set(kinds(table(frames.FILLS, [later, row]))) == {"out_of_order"}


def test_an_unknown_frame_is_refused():
    with pytest.raises(InvalidInput, match="columns were a; must be those of a frame"):
        check_frame(pa.table({"a": [1]}), "x")


@pytest.mark.parametrize("name", ["BARS", "QUOTES", "MARKS", "ORACLES", "TRADES", "FUNDING", "BOOK", "FILLS"])
def test_an_empty_frame_of_any_schema_is_sound(name):
    report = require_sound(getattr(frames, name).empty_table(), "x")
    assert (report.rows, report.first_ns, report.findings) == (0, None, ())


@given(st.lists(st.integers(0, 8), min_size=1, max_size=12))
def test_order_checks_agree_with_the_obvious_loop(steps):
    marks = [(T0 + step, 1.0) for step in steps]
    found = kinds(table(frames.MARKS, marks))
    back = [n for n in range(1, len(steps)) if steps[n] < steps[n - 1]]
    twice = [n for n in range(1, len(steps)) if steps[n] == steps[n - 1]]
    for kind, rows in (("out_of_order", back), ("duplicate", twice)):
        assert (kind in found) == bool(rows)
        if rows:
            assert (found[kind].count, found[kind].row) == (len(rows), rows[0] + 1)


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=1, max_size=8))
def test_price_checks_agree_with_the_obvious_loop(prices):
    found = kinds(table(frames.ORACLES, [(T0 + n, price) for n, price in enumerate(prices)]))
    errors = sum(finding.count for finding in found.values() if finding.severity == "error")
    assert errors == sum(not (np.isfinite(price) and price > 0) for price in prices)


def test_reports_read_as_a_table_and_as_plain_values():
    faulty = check_frame(bars((2, "close", NAN), (5, "ts_open", T0 + 9 * MINUTE_NS)), "faulty.zip")
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(render([check_frame(bars(), "fine.zip"), faulty]))
    text = console.export_text()
    assert "fine.zip" in text
    assert "sound" in text
    assert "not_a_number: close" in text
    plain = faulty.to_dict()
    assert plain["findings"][0]["row"] == 3
    assert [finding["kind"] for finding in plain["findings"]][-1] == "gap"
