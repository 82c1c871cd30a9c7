"""That the database still guards the books: its triggers, constraints and functions as the migrations made them,
and nothing beside them that acts on its own."""

import json
from collections.abc import Iterator
from importlib.resources import files
from typing import Any, LiteralString

import psycopg
from psycopg.rows import tuple_row

from live.ledger.findings import Findings

_TABLES: LiteralString = """select oid, relname from pg_class
    where relnamespace = current_schema()::regnamespace and relkind in ('r', 'p')"""
# Its function, when that is called (a sum of bits), for changes of which columns, whether at times only, with what.
_TRIGGER: LiteralString = """concat_ws(' ', tgname, tgfoid::regprocedure, tgtype, nullif(tgattr::text, ''),
    case when tgqual is not null then 'conditional' end, nullif(encode(tgargs, 'escape'), ''))"""
_WORKS: LiteralString = "not tgisinternal and tgenabled in ('O', 'A')"
_QUERIES: dict[str, LiteralString] = {
    "triggers": f"""select relname, {_TRIGGER} from pg_trigger
        join ({_TABLES} and not relispartition) as tables on tgrelid = tables.oid where {_WORKS}""",
    "constraints": f"""select relname, conname from pg_constraint join ({_TABLES} and not relispartition) as tables
        on conrelid = tables.oid where contype in ('c', 'p', 'u', 'f') and convalidated""",
    "rules": f"select relname, rulename from pg_rewrite join ({_TABLES}) as tables on ev_class = tables.oid",
    # The text between the function's quotes (of those without, the database shows its own reading), with whose rights
    # and under which settings it runs.
    "functions": """select proname, concat_ws(' ', '(' || oidvectortypes(proargtypes) || ')', md5(prosrc),
            case when prosecdef then 'definer' else 'invoker' end, array_to_string(proconfig, ' ')) from pg_proc
        where pronamespace = current_schema()::regnamespace and prosrc <> ''""",
}
# Those that a call may mean in the place of one of ours, or of PostgreSQL's.
_NAMESAKES: LiteralString = """select proname, '(' || oidvectortypes(proargtypes) || ')' from pg_proc as it
    where pronamespace = current_schema()::regnamespace and exists (select from pg_proc as other
        where other.proname = it.proname and other.oid <> it.oid
        and other.pronamespace in (current_schema()::regnamespace, 'pg_catalog'::regnamespace))"""
_PARTITIONS: LiteralString = f"""select tables.relname, string_agg({_TRIGGER}, ', ' order by tgname)
    from ({_TABLES} and relispartition) as tables
    left join pg_trigger on tgrelid = tables.oid and {_WORKS}
    group by tables.relname"""
_ON_PARTITIONS = "append_only refuse_change() 27, never_emptied refuse_change() 34"


def guards(connection: psycopg.Connection[Any]) -> dict[str, list[str]]:
    """Return what guards the tables of a database, as it stands: names by kind, sorted."""
    cursor = connection.cursor(row_factory=tuple_row)
    return {
        kind: sorted(" ".join(row) for row in cursor.execute(query.encode()))
        for kind, query in _QUERIES.items()
    }


def check_guards(connection: psycopg.Connection[Any], findings: Findings) -> None:
    """Add every guard that is gone, disabled, not validated, or other than it was made, and what may act beside them.

    That is a trigger, a rule, or a function of the name of one of ours or PostgreSQL's that no migration made.
    """
    made = json.loads(files(__package__).joinpath("guards.json").read_text())
    found = guards(connection)
    for kind in found:
        for table, name in _parted(set(made[kind]) - set(found[kind])):
            findings.add(table, name, f"of its {kind} this one is gone, disabled, or not what it was made as")
    for kind in ("triggers", "rules"):
        for table, name in _parted(set(found[kind]) - set(made[kind])):
            findings.add(table, name, f"of its {kind} this one is not of ours: it may change what is written")
    cursor = connection.cursor(row_factory=tuple_row)
    for function, arguments in cursor.execute(_NAMESAKES.encode()):
        if not any(each.startswith(f"{function} {arguments} ") for each in made["functions"]):
            findings.add(function, arguments, "is a function not of ours that may be called for another")
    for partition, triggers in cursor.execute(_PARTITIONS.encode()):
        if triggers != _ON_PARTITIONS:
            findings.add(partition, "triggers", f"are {triggers}, not {_ON_PARTITIONS}")


def _parted(guards: set[str]) -> Iterator[tuple[str, str]]:
    for guard in sorted(guards):
        table, _, name = guard.partition(" ")
        yield table, name
