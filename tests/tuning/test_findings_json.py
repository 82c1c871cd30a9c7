import json
from decimal import Decimal

from backtest.tuning.findings_json import findings_json

from .made_findings import made_findings


def test_findings_become_plain_json_with_exact_decimals_as_text() -> None:
    findings = made_findings(3)
    found = json.loads(json.dumps(findings_json(findings), allow_nan=False))
    point, plain = findings.points[5], found["points"][5]
    assert plain["number"] == 5
    assert plain["digest"] == point.digest
    assert Decimal(plain["figures"]["house_pnl"]) == point.figures["house_pnl"]
    assert plain["figures"]["trading_margin_ratio"] is None
    assert plain["values"]["routing.*.normal_threshold"] == point.values["routing.*.normal_threshold"]
    assert found["study"]["constraints"]["margin_ratio"] == {"min": "1.5", "max": None}
    assert found["significance"]["p_best_of_all"] == 0.062
    assert found["finalists"][0]["parts"]["searched"]["intervals"]["house_pnl"][0] < 1e6
    assert found["stress"][2]["chosen"] is None
    assert found["recommended"] == findings.recommended


def test_what_is_missing_is_null_or_empty() -> None:
    found = findings_json(made_findings(recommends=False, checked=False))
    assert (found["recommended"], found["significance"]) == (None, None)
    assert (found["walk"], found["changes"], found["narrowed"]) == ([], [], {})
