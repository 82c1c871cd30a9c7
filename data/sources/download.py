"""Whole files over HTTP: resumed where they broke off, verified, put in place at once or not at all."""

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Literal

import httpx

from data.sources.http import AnswerError, FetchError, attempts, failure
from risk.errors import HybridPerpsError

_WORKERS = 4
Progress = Callable[[int], None]
Parse = Callable[[str, str], str]


@dataclass(frozen=True, slots=True)
class Job:
    """Name one file to fetch: ``checksum`` reads the SHA-256 out of the text published beside it."""

    url: str
    dest: Path
    checksum: Parse | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """Tell what became of one file: fetched, kept (it was there and whole), missing (404) or failed."""

    path: Path
    status: Literal["fetched", "kept", "missing", "failed"]
    detail: str = ""


def fetch_all(
    client: httpx.Client, jobs: Sequence[Job], on_bytes: Progress, on_file: Progress
) -> list[Outcome]:
    """Fetch several files at a time; give outcomes in the order of ``jobs``. One that fails stops none.

    Only where a server cannot be reached at all, files not yet begun are given up at once.
    """
    unreachable = Event()

    def run(job: Job) -> Outcome:
        if unreachable.is_set():
            return Outcome(job.dest, "failed", f"{job.url}: not tried, the server could not be reached")
        try:
            return Outcome(job.dest, fetch(client, job, on_bytes))
        except HybridPerpsError as error:
            if isinstance(error.__cause__, httpx.ConnectError):
                unreachable.set()
            return Outcome(job.dest, "failed", str(error))
        finally:
            on_file(1)

    with ThreadPoolExecutor(_WORKERS) as pool:
        return list(pool.map(run, jobs))


def fetch(client: httpx.Client, job: Job, on_bytes: Progress) -> Literal["fetched", "kept", "missing"]:
    """Fetch one file to ``job.dest``, which appears only whole and verified.

    A broken download stays as ``.part`` and is resumed, as long as the server still has the same
    version (ETag). Raises FetchError, also when the checksum is wrong twice.
    """
    with _disk_errors(job.dest):
        job.dest.parent.mkdir(parents=True, exist_ok=True)
        if job.checksum is None:
            if job.dest.exists():
                return "kept"
            return "fetched" if _download(client, job, on_bytes) else "missing"
        return _fetch_verified(client, job, job.checksum, on_bytes)


def sha256_of(path: Path) -> str:
    """Hash a file's bytes with SHA-256, as lower-case hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_atomically(path: Path, text: str) -> None:
    """Write a small text file so that readers see the old or the new one, never a piece."""
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(text, "utf-8")
    os.replace(temporary, path)


def _fetch_verified(
    client: httpx.Client, job: Job, parse: Parse, on_bytes: Progress
) -> Literal["fetched", "kept", "missing"]:
    beside = job.dest.with_name(job.dest.name + ".CHECKSUM")
    if (
        job.dest.exists()
        and beside.exists()
        and sha256_of(job.dest) == parse(beside.read_text(), job.dest.name)
    ):
        return "kept"
    text = _get_text(client, f"{job.url}.CHECKSUM")
    if text is None:
        return "missing"
    expected = parse(text, job.dest.name)
    # Once more after a wrong checksum: a resumed file may have been replaced without a new ETag.
    for _ in range(2):
        part = _part_of(job.dest)
        if not _download(client, job, on_bytes, place=False):
            return "missing"
        found = sha256_of(part)
        if found == expected:
            write_atomically(beside, text)
            os.replace(part, job.dest)
            return "fetched"
        part.unlink()
    raise FetchError(f"{job.url}: sha256 was {found} twice, must be {expected}")


def _download(client: httpx.Client, job: Job, on_bytes: Progress, *, place: bool = True) -> bool:
    """Bring the whole body into the part file; False when it is not published."""
    part, tag = _part_of(job.dest), _tag_of(job.dest)
    try:
        for attempt in attempts():
            with attempt:
                _continue_part(client, job.url, part, tag, on_bytes)
    except httpx.HTTPStatusError as error:
        if error.response.status_code == httpx.codes.NOT_FOUND:
            return False
        raise failure(job.url, error) from error
    except (httpx.HTTPError, AnswerError) as error:
        raise failure(job.url, error) from error
    tag.unlink(missing_ok=True)
    if place:
        os.replace(part, job.dest)
    return True


def _continue_part(client: httpx.Client, url: str, part: Path, tag: Path, on_bytes: Progress) -> None:
    have = part.stat().st_size if part.exists() and tag.exists() else 0
    # Identity: a range of a compressed transfer could not be appended.
    headers = {"Accept-Encoding": "identity"}
    if have:
        headers |= {"Range": f"bytes={have}-", "If-Range": tag.read_text()}
    with client.stream("GET", url, headers=headers) as answer:
        if answer.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
            tag.unlink(missing_ok=True)
            raise AnswerError(f"the server has no byte {have}")
        if answer.is_error or answer.is_redirect:
            answer.read()
        answer.raise_for_status()
        resumed = answer.status_code == httpx.codes.PARTIAL_CONTENT
        asked = answer.headers.get("Content-Range", "").startswith(f"bytes {have}-")
        if resumed and not (have and asked):
            tag.unlink(missing_ok=True)
            raise AnswerError(f"range was {answer.headers.get('Content-Range')!r}, asked from byte {have}")
        if not resumed:
            _remember_version(answer, tag)
        with part.open("ab" if resumed else "wb") as out:
            # As it comes: bytes held back to fill a larger chunk would be lost with the connection.
            for chunk in answer.iter_raw():
                out.write(chunk)
                on_bytes(len(chunk))


def _remember_version(answer: httpx.Response, tag: Path) -> None:
    # Only a strong ETag promises equal bytes; without one a broken download starts over.
    etag = answer.headers.get("ETag", "")
    if etag.startswith('"'):
        write_atomically(tag, etag)
    else:
        tag.unlink(missing_ok=True)


def _get_text(client: httpx.Client, url: str) -> str | None:
    try:
        for attempt in attempts():
            with attempt:
                answer = client.get(url)
                answer.raise_for_status()
    except httpx.HTTPStatusError as error:
        if error.response.status_code == httpx.codes.NOT_FOUND:
            return None
        raise failure(url, error) from error
    except httpx.HTTPError as error:
        raise failure(url, error) from error
    return answer.text


def _part_of(dest: Path) -> Path:
    return dest.with_name(dest.name + ".part")


def _tag_of(dest: Path) -> Path:
    return dest.with_name(dest.name + ".part.etag")


@contextmanager
def _disk_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise FetchError(f"{path}: could not be written ({error.strerror or error})") from error
