"""That the database still guards the books: its triggers, constraints and functions as the migrations made them."""

import json
from importlib.resources import files
from typing import Any, LiteralString

import psycopg
from psycopg.rows import tuple_row

from live.ledger.findings import Findings

_TABLES: LiteralString = """select oid, relname from pg_class
    where relnamespace = current_schema()::regnamespace and relkind in ('r', 'p')"""
_QUERIES: dict[str, LiteralString] = {
    "triggers": f"""select relname, tgname || ' ' || tgfoid::regproc::text from pg_trigger
        join ({_TABLES} and not relispartition) as tables on tgrelid = tables.oid
        where not tgisinternal and tgenabled in ('O', 'A')""",
    "constraints": f"""select relname, conname from pg_constraint join ({_TABLES} and not relispartition) as tables
        on conrelid = tables.oid where contype in ('c', 'p', 'u', 'f') and convalidated""",
    # The text between the function's quotes (of those without, the database shows its own reading), with whose rights
    # and under which settings it runs.
    "functions": """select proname, concat_ws(' ', md5(prosrc),
            case when prosecdef then 'definer' else 'invoker' end, array_to_string(proconfig, ' ')) from pg_proc
        where pronamespace = current_schema()::regnamespace and prosrc <> ''""",
}
_PARTITIONS: LiteralString = f"""select tables.relname, string_agg(tgname, ' ' order by tgname)
    from ({_TABLES} and relispartition) as tables
    left join pg_trigger on tgrelid = tables.oid and not tgisinternal and tgenabled in ('O', 'A')
    group by tables.relname"""
_ON_PARTITIONS = "append_only never_emptied"


def guards(connection: psycopg.Connection[Any]) -> dict[str, list[str]]:
    """Return what guards the tables of a database, as it stands: names by kind, sorted."""
    cursor = connection.cursor(row_factory=tuple_row)
    return {
        kind: sorted(" ".join(row) for row in cursor.execute(query.encode()))
        for kind, query in _QUERIES.items()
    }


def check_guards(connection: psycopg.Connection[Any], findings: Findings) -> None:
    """Add every guard that is gone, disabled, not validated, or other than it was made."""
    made = json.loads(files(__package__).joinpath("guards.json").read_text())
    for kind, found in guards(connection).items():
        for guard in sorted(set(made[kind]) - set(found)):
            table, name = guard.split(" ", 1)
            findings.add(table, name, f"of its {kind} this one is gone, disabled, or not what it was made as")
    for partition, triggers in connection.cursor(row_factory=tuple_row).execute(_PARTITIONS.encode()):
        if triggers != _ON_PARTITIONS:
            findings.add(partition, "triggers", f"are {triggers}, not {_ON_PARTITIONS}")
