"""What a check of the books found wrong, row by row."""

from collections import Counter
from typing import Any, NamedTuple

KEPT_PER_TABLE = 100


class Finding(NamedTuple):
    """One thing wrong: in which table, at which key, and what."""

    table: str
    key: str
    wrong: str

    def __str__(self) -> str:
        return f"{self.table} {self.key}: {self.wrong}"


class Findings:
    """Collect findings; of each table the first hundred are kept, all are counted."""

    def __init__(self) -> None:
        self.kept: list[Finding] = []
        self.counts: Counter[str] = Counter()

    def add(self, table: str, key: Any, wrong: str) -> None:
        """Take one more."""
        self.counts[table] += 1
        if self.counts[table] <= KEPT_PER_TABLE:
            self.kept.append(Finding(table, str(key), wrong))
