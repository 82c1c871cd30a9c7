"""Files in the public formats, built on the spot."""

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import lz4.frame
import pytest

PAYLOADS = Path(__file__).parents[1] / "payloads"


def zip_bytes(name: str, text: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        # A fixed date: the bytes, and so their checksum, are the same in every run.
        archive.writestr(zipfile.ZipInfo(name, (2024, 1, 1, 0, 0, 0)), text)
    return buffer.getvalue()


@pytest.fixture
def make_zip(tmp_path: Path) -> Callable[[str, str], Path]:
    def make(name: str, text: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(zip_bytes(path.with_suffix(".csv").name, text))
        return path

    return make


@pytest.fixture
def make_lz4(tmp_path: Path) -> Callable[[str, str], Path]:
    def make(name: str, text: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(lz4.frame.compress(text.encode()))
        return path

    return make


@pytest.fixture
def payloads() -> Path:
    return PAYLOADS
