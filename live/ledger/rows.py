"""The books' own record: inputs, keys, events and audit; a NamedTuple per table, its fields the table's columns.

The rows of the other tables are made alike, in ``rows_money``, ``rows_trading``, ``rows_users`` and ``rows_house``;
``tables`` lists them all. ``Moment`` is UTC nanoseconds in a column of microseconds; arrays are tuples.
"""

from typing import NamedTuple, NewType

Moment = NewType("Moment", int)


class InputRow(NamedTuple):
    seq: int
    ts: int
    kind: str
    idempotency_key: str | None
    body: str
    link: bytes


class IdempotencyRow(NamedTuple):
    key: str
    request: bytes
    answer: str
    seq: int
    created_at: Moment


class BookEventRow(NamedTuple):
    id: int
    kind: str
    body: str
    seq: int
    ts: int


class AuditRow(NamedTuple):
    """What ``append_audit`` is called with; the database gives the id and the link."""

    actor: str
    action: str
    subject: str
    detail: str
    seq: int
    ts: int
