"""The digests that runs had when they were last looked at, in ``tests/golden/digests.json``.

A digest covers every row a run records and the state its book ends in. It may change only where a change is meant to
give other rows or another state: a rule, a recorded column, how a market or a flow is made, what a book remembers. A
change that is meant to give the same, such as a faster way, must leave all as they are. To renew one, find out which
rows differ (``./run compare`` of a run before and one after), say in the commit why they should, and put the digest
that the test shows into the file.
"""

import json
from pathlib import Path

KEPT = json.loads((Path(__file__).parents[1] / "golden/digests.json").read_text())


def assert_kept(name: str, digest: str) -> None:
    """Fail, with what to do, if the run ``name`` has another digest than it had."""
    advice = f"{digest} is of other rows than it had: see {__name__} before you renew it"
    assert digest == KEPT[name], f"{name}: {advice}"
