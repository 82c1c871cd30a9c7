"""The rows of some inputs on their way into the database together."""

from collections.abc import Sequence
from typing import Any

from live.ledger.rows import AuditRow
from live.ledger.tables import APPENDED, REPLACED


class Batch:
    """Collect rows: append-only ones in order, of the others the last one of each key.

    ``size`` counts the inputs and answers in it. The key of a replaced row is its first field.
    """

    __slots__ = ("appended", "audit", "replaced", "size")

    def __init__(self) -> None:
        self.appended: dict[type, list[Any]] = {kind: [] for kind in APPENDED}
        self.replaced: dict[type, dict[Any, Any]] = {kind: {} for kind in REPLACED}
        self.audit: list[AuditRow] = []
        self.size = 0

    def clear(self) -> None:
        """Drop all rows: of a replay they are in the database already."""
        for appended in self.appended.values():
            appended.clear()
        for replaced in self.replaced.values():
            replaced.clear()
        self.audit.clear()
        self.size = 0

    def append(self, row: Any) -> None:
        """Add a row of an append-only table."""
        self.appended[type(row)].append(row)

    def replace(self, row: Any) -> None:
        """Set the row of its key."""
        self.replaced[type(row)][row[0]] = row

    def rows(self) -> dict[type, Sequence[Any]]:
        """Return the rows by kind, without the kinds that have none."""
        found: dict[type, Sequence[Any]] = {kind: rows for kind, rows in self.appended.items() if rows}
        return found | {kind: list(rows.values()) for kind, rows in self.replaced.items() if rows}
