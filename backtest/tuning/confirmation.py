"""The recommended trial once more, under NautilusTrader: trials are replayed without it, for speed."""

from pathlib import Path

from backtest.conclusion import conclude
from backtest.engine import run_engine
from backtest.sources import open_feed
from backtest.tuning.findings import Findings
from risk.errors import InvariantBroken


def confirm(findings: Findings, data_dir: Path | None = None) -> str:
    """Return the digest of the recommended trial under NautilusTrader's engine; empty without one.

    Raises InvariantBroken if the trial's replay had another: its figures are not to be trusted then.
    """
    point = next((each for each in findings.points if each.number == findings.recommended), None)
    if point is None:
        return ""
    scenario = findings.study.searched(point.values)
    feed = open_feed(scenario, data_dir=data_dir)
    digest = conclude(run_engine(scenario, feed), feed.flow.orders, feed.accounting).digest()
    if digest != point.digest:
        raise InvariantBroken(
            f"trial {point.number} has the digest {point.digest}; under NautilusTrader it is {digest}: "
            "keep the study and report this, nothing of it is to be trusted"
        )
    return digest
