"""Parquet and JSON files, written whole or not at all, and hashed."""

import fcntl
import hashlib
import json
import os
import shutil
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from risk.errors import InvalidInput


@contextmanager
def replaced_directory(final: Path) -> Iterator[Path]:
    """Give an empty directory that takes the place of ``final`` when the block ends without an error."""
    partial = final.with_name(f".{final.name}.partial-{os.getpid()}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    retired = final.with_name(f".{final.name}.old-{os.getpid()}")
    if final.exists():
        final.rename(retired)
    partial.rename(final)
    shutil.rmtree(retired, ignore_errors=True)


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold a lock named after ``path`` against other processes; it goes with the process if that dies."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = path.with_name(f".{path.name}.lock").open("w")
    except OSError as error:
        raise InvalidInput(f"cannot write in {path.parent}: {error.strerror}") from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def replaced_file(final: Path) -> Iterator[Path]:
    """Give a path beside ``final`` that is renamed onto it when the block ends without an error."""
    final.parent.mkdir(parents=True, exist_ok=True)
    partial = final.with_name(f".{final.name}.partial-{os.getpid()}")
    try:
        yield partial
        partial.replace(final)
    finally:
        partial.unlink(missing_ok=True)


def write_table(table: pa.Table, path: Path) -> None:
    """Write ``table`` as Parquet to ``path``, atomically."""
    with replaced_file(path) as partial:
        pq.write_table(table, partial, compression="zstd")


def read_table(path: Path, schema: pa.Schema | None = None) -> pa.Table:
    """Read a Parquet file, cast to ``schema`` when given; raise InvalidInput if it cannot be."""
    if not path.is_file():
        raise InvalidInput(f"no file at {path}: a Parquet file was expected there")
    try:
        # ParquetFile, not read_table: a directory named key=value must not add columns.
        with pq.ParquetFile(path) as file:
            table = file.read()
    except (pa.ArrowInvalid, OSError) as error:
        raise InvalidInput(f"{path} is not a readable Parquet file: {first_line(error)}") from error
    return table if schema is None else conform(table, schema, str(path))


def conform(table: pa.Table, schema: pa.Schema, where: str) -> pa.Table:
    """Return ``table`` with the columns and types of ``schema``; raise InvalidInput on a missing column."""
    missing = [name for name in schema.names if name not in table.column_names]
    if missing:
        raise InvalidInput(f"{where} has no column {missing[0]!r}: its columns were {table.column_names}")
    try:
        return table.select(schema.names).cast(schema)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, ValueError) as error:
        raise InvalidInput(f"{where} has a column of the wrong type: {first_line(error)}") from error


def write_json(value: Any, path: Path) -> None:
    """Write ``value`` as indented JSON with sorted keys to ``path``, atomically."""
    with replaced_file(path) as partial:
        partial.write_text(json.dumps(value, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """Read a JSON file; raise InvalidInput if it is missing or not JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InvalidInput(f"no file at {path}: a JSON file was expected there") from error
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InvalidInput(f"{path} is not valid JSON: {first_line(error)}") from error


def read_toml(path: Path, expected: str) -> dict[str, Any]:
    """Read a TOML file, numbers exact; raise InvalidInput if it is missing or not TOML: ``expected`` was there."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"), parse_float=Decimal)
    except FileNotFoundError:
        raise InvalidInput(f"no file at {path}: {expected} in TOML was expected there") from None
    except OSError as error:
        raise InvalidInput(f"{path} could not be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path} is not valid TOML: {error}") from None


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's bytes in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text, for messages of one line."""
    return (str(error).splitlines() or [type(error).__name__])[0]
