"""The one writer of the books: a batch of rows as one statement, committed or not as a whole, and fenced.

Of a batch each table's rows go as one array a column; what was written is what the statement returned from.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from functools import cache
from typing import Any, NamedTuple, get_type_hints

import asyncpg
import msgspec

from live.ledger.batch import Batch
from live.ledger.rows import AuditRow, Moment
from live.ledger.tables import APPENDED, TABLES
from risk.errors import HybridPerpsError

CLAIMED = "BOOKS_CLAIMED"  # the action in the audit log; its detail is the epoch
_FIRST_COLUMN = 5  # of the parameters; those before are the fence's
_encode = msgspec.json.Encoder().encode


# What asyncpg raises when the server is gone: also where it stumbles over its own broken connection.
LOST = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)


class DatabaseLost(HybridPerpsError):
    """Say that the database could not be asked: the books must be taken up from it again."""


@contextmanager
def reaching_database() -> Iterator[None]:
    """Raise DatabaseLost for whatever tells that the database was not reached."""
    try:
        yield
    except LOST as error:
        raise DatabaseLost(f"the database was lost: {str(error) or type(error).__name__}") from error


class CommitFailed(DatabaseLost):
    """Say that a batch may or may not be in the database: what the books hold now is not known here."""


class Fenced(CommitFailed):
    """Say that another process writes the books now; nothing of the batch was written."""


class Writer:
    """Commit batches under one epoch; whoever claims a later one ends this one's."""

    def __init__(self, connection: asyncpg.Connection, epoch: int, seq: int, link: bytes) -> None:
        self.connection = connection
        self._prepared: dict[str, Any] = {}
        self.epoch = epoch
        self.seq = seq
        self.link = link

    @classmethod
    async def claim(cls, connection: asyncpg.Connection, holder: str) -> "Writer":
        """Become the writer: from now on nobody else's commits succeed. ``holder`` says who we are."""
        await connection.execute("set plan_cache_mode = force_generic_plan")
        row = await connection.fetchrow(
            """with claimed as (
                update books_writer set epoch = epoch + 1, holder = $1, since = now() returning *
            )
            select epoch, seq, link, append_audit(holder, $2, 'books_writer', epoch::text, seq,
                (extract(epoch from since) * 1000000)::bigint * 1000)
            from claimed""",
            holder,
            CLAIMED,
        )
        return cls(connection, row["epoch"], row["seq"], row["link"])

    async def commit(self, batch: Batch, seq: int, link: bytes) -> None:
        """Write a batch, after which the journal ends with input ``seq``. Raises Fenced or CommitFailed."""
        text, arguments = statement(batch)
        try:
            prepared = self._prepared.get(text)
            if prepared is None:
                prepared = self._prepared[text] = await self.connection.prepare(text)
            await prepared.fetchval(self.epoch, self.seq, seq, link, *arguments)
        except asyncpg.SerializationError as error:
            raise Fenced(f"the books were taken over: {error}") from error
        except LOST as error:
            raise CommitFailed(f"a commit failed: {str(error) or type(error).__name__}") from error
        self.seq, self.link = seq, link

    async def prepare_months(self, from_ns: int, to_ns: int) -> None:
        """Make the partitions of every month in that time. Raises DatabaseLost."""
        with reaching_database():
            await self.connection.execute("select ensure_partitions($1, $2)", from_ns, to_ns)


def statement(batch: Batch) -> tuple[str, list[Any]]:
    """Return the statement that writes a batch, and its arguments after the fence's four."""
    rows = batch.rows()
    arguments: list[Any] = []
    for kind, of_kind in rows.items():
        arguments += _arrays(kind, of_kind)
    if batch.audit:
        arguments += _arrays(AuditRow, batch.audit)
    return _text(tuple(rows), bool(batch.audit)), arguments


class _Column(NamedTuple):
    """Say how a column travels: ``array`` writes its values, which are of ``type``, as one argument.

    That is the text of an array, which costs a fraction of what the driver takes for values one by one; of
    bytes it is a list. ``text`` is how one value is written.
    """

    name: str
    type: str
    text: Callable[[Any], str] | None
    array: Callable[[Sequence[Any]], Any]
    expression: str = "{}"

    @property
    def parameter(self) -> str:
        """Return the SQL of a parameter that holds an array."""
        return f"{{}}::{'' if self.text is None else 'text::'}{self.type}[]"


@cache
def columns_of(kind: type) -> tuple[_Column, ...]:
    """Return the columns of a row class."""
    return tuple(_column(name, hint) for name, hint in get_type_hints(kind).items())


def _column(name: str, hint: Any) -> _Column:
    for kind, *how in _CONVERSIONS:
        if hint in (kind, kind | None):
            return _Column(name, *how)
    raise TypeError(f"column {name} was {hint}; no conversion is known")


def _plain_array(values: Sequence[Any]) -> str:
    """Write integers, truth values and None, which are in JSON what they are in an array."""
    return f"{{{_encode(values)[1:-1].decode()}}}"


def _number_array(values: Sequence[Decimal | None]) -> str:
    return f"{{{','.join(['NULL' if value is None else str(value) for value in values])}}}"


def _text_array(values: Sequence[str | None]) -> str:
    if None not in values:
        joined = '","'.join(values)  # type: ignore[arg-type]
        if "\\" not in joined and joined.count('"') == 2 * (len(values) - 1):
            return f'{{"{joined}"}}'
    return f"{{{','.join(['NULL' if value is None else _quoted(value) for value in values])}}}"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _names(names: Sequence[str]) -> str:
    return f"{{{','.join(map(_quoted, names))}}}"


def _amounts(amounts: Sequence[Decimal]) -> str:
    return f"{{{','.join(map(str, amounts))}}}"


_CONVERSIONS: tuple[tuple[Any, ...], ...] = (
    (Moment, "bigint", str, _plain_array, "timestamptz 'epoch' + {} / 1000 * interval '1 microsecond'"),
    (bool, "boolean", str, _plain_array),
    (int, "bigint", str, _plain_array),
    (str, "text", str, _text_array),
    (bytes, "bytea", None, list),
    (Decimal, "numeric", str, _number_array),
    (tuple[str, ...], "text", _names, lambda rows: _text_array([_names(row) for row in rows]), "{}::text[]"),
    (
        tuple[Decimal, ...],
        "text",
        _amounts,
        lambda rows: _text_array([_amounts(row) for row in rows]),
        "{}::numeric[]",
    ),
)


def _arrays(kind: type, rows: Sequence[Any]) -> list[Any]:
    columns = zip(*rows, strict=True)
    return [column.array(values) for column, values in zip(columns_of(kind), columns, strict=True)]


@cache
def _text(kinds: tuple[type, ...], has_audit: bool) -> str:
    """Write the statement for rows of these kinds. The fence stands in its SELECT: it fails, and all with it."""
    number, parts = _FIRST_COLUMN, []
    for place, kind in enumerate(kinds):
        parts.append(f"w{place} as ({_insert(kind, number)})")
        number += len(columns_of(kind))
    audit = ""
    if has_audit:
        fields = ", ".join(column.name for column in columns_of(AuditRow))
        audit = f", (select count(append_audit({fields})) from {_unnest(AuditRow, number)})"
    ctes = f"with {', '.join(parts)} " if parts else ""
    return f"{ctes}select advance_writer($1, $2, $3, $4){audit}"


def _insert(kind: type, number: int) -> str:
    columns = columns_of(kind)
    names = ", ".join(column.name for column in columns)
    values = ", ".join(column.expression.format(column.name) for column in columns)
    insert = f"insert into {TABLES[kind]} ({names}) select {values} from {_unnest(kind, number)}"
    if kind in APPENDED:
        return insert
    key, *others = (column.name for column in columns)
    changes = ", ".join(f"{name} = excluded.{name}" for name in others)
    return f"{insert} on conflict ({key}) do update set {changes}"


def _unnest(kind: type, number: int) -> str:
    columns = columns_of(kind)
    arrays = ", ".join(column.parameter.format(f"${number + place}") for place, column in enumerate(columns))
    names = ", ".join(column.name for column in columns)
    return f"unnest({arrays}) as given ({names})"
