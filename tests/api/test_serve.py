"""The command ``serve``: from its first line to its last, over TLS, and through the loss of its database."""

import asyncio
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from fastapi import FastAPI

from hybrid_perps import run
from live.cli_serve import serve_app
from live.ledger.migrate import upgrade
from live.tls import tls_context
from tests.api.served import served_api
from tests.postgres import reachable_folder, start_postgres

ROOT = Path(__file__).parents[2]
PATIENCE_S = 60


def certificate(
    folder: Path, *, days: int = 0, curve: type[ec.EllipticCurve] = ec.SECP256R1
) -> tuple[Path, Path]:
    """Make a certificate for 127.0.0.1 that nobody signed but itself, valid around now, or so many days later."""
    key = ec.generate_private_key(curve())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC) + timedelta(days=days)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "cert.pem", folder / "key.pem"
    paths[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return paths


def test_it_serves_over_tls_says_where_and_stops_in_order(database: str, tmp_path: Path) -> None:
    cert, key = certificate(tmp_path)
    command = [sys.executable, "hybrid_perps.py", "serve", "--dev", "--port", "0"]
    command += ["--tls-cert", str(cert), "--tls-key", str(key)]
    environment = {**os.environ, "DATABASE_URL": database, "HYBRID_PERPS_HOME": str(tmp_path / "home")}
    environment |= {"PYTHONPATH": str(ROOT), "BUS_URL": ""}
    with (tmp_path / "log").open("wb") as log:
        serving = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=log, text=True
        )
    try:
        assert serving.stdout is not None
        said = ""
        while not (found := re.search(r"serving +(https://127.0.0.1:\d+)\n", said)):
            line = serving.stdout.readline()
            assert line, (said, (tmp_path / "log").read_text())
            said += line
        assert "DEVELOPMENT" in said
        trusting = ssl.create_default_context(cafile=str(cert))
        with httpx.Client(base_url=found[1], verify=trusting) as client:
            ready = client.get("/ready")
            assert (ready.status_code, ready.json()["ready"]) == (200, True)
            assert ready.headers["strict-transport-security"].startswith("max-age=31536000")
            assert "server" not in ready.headers
            assert "/v1/dev/faucet" in client.get("/openapi.json").json()["paths"]
        serving.send_signal(signal.SIGTERM)
        rest = serving.stdout.read()
        assert serving.wait(PATIENCE_S) == 0
        assert f"docs      {found[1]}/docs\n" in rest
        assert re.findall("mails .*", rest) == [
            f"mails     printed here, and kept in {tmp_path / 'home' / 'outbox'}, as no SMTP_URL is set"
        ]
        assert rest.endswith("stopped in order\n")
    finally:
        serving.kill()
        serving.wait()
        if serving.stdout is not None:
            serving.stdout.close()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            ["--port", "{taken}"],
            "cannot serve at 127.0.0.1 port {taken}: Address already in use; name another one with --port",
        ),
        (["--host", "host.invalid"], "cannot serve at host.invalid port 8000: "),
        (["--tls-cert", "c.pem"], "--tls-cert and --tls-key must be given together"),
        (
            ["--tls-cert", "c.pem", "--tls-key", "k.pem"],
            "--tls-cert was 'c.pem', which cannot be read: No such",
        ),
        (["--log-level", "loud"], "Invalid value for '--log-level': 'loud' is not one of "),
    ],
)
def test_what_keeps_it_from_serving_is_one_line(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taking:
        taken = str(taking.getsockname()[1])
        assert run(["serve", *(each.format(taken=taken) for each in arguments)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {told.format(taken=taken)}")
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("PUBLIC_URL", "api.example.org", "was 'api.example.org', it must be https://HOST"),
        ("PUBLIC_URL", "http://h:port", "was 'http://h:port', it must be https://HOST"),
        ("MAIL_FROM", "nobody", "was 'nobody', it must be an address"),
        ("SMTP_URL", "smtp://", "was 'smtp://', it must be smtp://"),
        ("SMTP_URL", "smtp://ann:secret@h:x", "was 'smtp://ann:***@h:x', it must be smtp://"),
        ("RATE_LIMIT_ADDRESS", "0/minute", "was '0/minute', it must be a rate such as 600/minute, of 1 at"),
        (
            "RATE_LIMIT_LOGIN",
            "9/minute; 9/day",
            "was '9/minute; 9/day', it must be a rate such as 600/minute",
        ),
        ("RATE_LIMIT_KEY", "many", "was 'many', it must be a rate such as 600/minute"),
    ],
)
def test_what_a_setting_must_be_is_one_line(
    name: str, value: str, told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(name, value)
    assert run(["serve", "--port", "0"]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {name} {told}")
    assert error.count("\n") == 1


def encrypted(key: Path) -> bytes:
    read = serialization.load_pem_private_key(key.read_bytes(), None)
    return read.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    )


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ("no certificate", "--tls-cert was '{cert}', which cannot be read: No such file or directory"),
        ("no key", "--tls-key was '{key}', which cannot be read: No such file or directory"),
        ("folder", "--tls-key was '{key}', which cannot be read: Is a directory"),
        ("DER", "--tls-cert was '{cert}', which holds no certificate in PEM"),
        ("swapped", "--tls-cert was '{cert}', which holds no certificate in PEM"),
        ("certificate twice", "--tls-key was '{key}', which holds no private key in PEM"),
        ("encrypted", "--tls-key was encrypted; it must be a key without a password"),
        ("another's", "--tls-cert '{cert}' and --tls-key '{key}' do not fit: the first certificate must be"),
        (
            "another's kind",
            "--tls-cert '{cert}' and --tls-key '{key}' do not fit: the first certificate must be",
        ),
    ],
)
def test_files_that_do_for_no_tls_are_named(
    wrong: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cert, key = certificate(tmp_path)
    (tmp_path / "other").mkdir()
    match wrong:
        case "no certificate":
            cert.unlink()
        case "no key":
            key.unlink()
        case "folder":
            key = tmp_path
        case "DER":
            read = x509.load_pem_x509_certificate(cert.read_bytes())
            cert.write_bytes(read.public_bytes(serialization.Encoding.DER))
        case "swapped":
            cert, key = key, cert
        case "certificate twice":
            key = cert
        case "encrypted":
            key.write_bytes(encrypted(key))
        case "another's":
            _, key = certificate(tmp_path / "other")
        case "another's kind":
            _, key = certificate(tmp_path / "other", curve=ec.SECP384R1)
    assert run(["serve", "--tls-cert", str(cert), "--tls-key", str(key)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {told.format(cert=cert, key=key)}")
    assert error.count("\n") == 1


@pytest.mark.parametrize(("days", "told"), [(0, ""), (-2, "expired at "), (2, "is not valid before ")])
def test_a_certificate_that_is_not_valid_now_is_a_warning(days: int, told: str, tmp_path: Path) -> None:
    cert, key = certificate(tmp_path, days=days)
    warnings: list[str] = []
    assert tls_context(cert, key, warnings.append) is not None
    if not told:
        assert warnings == []
        return
    (warning,) = warnings
    assert warning.startswith(f"the certificate of 'CN=127.0.0.1' in '{cert}' {told}20")
    assert warning.endswith(" UTC: clients will refuse it")


def test_dev_and_a_bus_exclude_each_other(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BUS_URL", "redis://127.0.0.1:1")
    assert run(["serve", "--dev", "--port", "0"]) == 2
    assert "--dev runs books of its own" in capsys.readouterr().err


def test_a_request_that_has_begun_is_finished_before_it_stops() -> None:
    app = FastAPI()
    begun, go_on = asyncio.Event(), asyncio.Event()

    @app.get("/slow")
    async def slow() -> str:
        begun.set()
        await go_on.wait()
        return "done"

    async def body() -> None:
        stop = asyncio.Event()
        listening = socket.create_server(("127.0.0.1", 0))
        serving = asyncio.create_task(serve_app(app, listening, stop))
        async with httpx.AsyncClient() as client:
            asking = asyncio.create_task(client.get(f"http://127.0.0.1:{listening.getsockname()[1]}/slow"))
            await begun.wait()
            stop.set()
            await asyncio.sleep(0.2)
            assert not serving.done()
            go_on.set()
            assert (await asking).json() == "done"
        await serving

    asyncio.run(body())


def test_an_answer_leaves_in_one_write() -> None:
    app = FastAPI()

    @app.get("/")
    async def root() -> str:
        return "x" * 1_000

    async def body() -> None:
        stop = asyncio.Event()
        listening = socket.create_server(("127.0.0.1", 0))
        serving = asyncio.create_task(serve_app(app, listening, stop))
        reader, writer = await asyncio.open_connection("127.0.0.1", listening.getsockname()[1])
        for _ in range(3):  # over the same connection
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            came = await reader.read(1 << 16)
            assert came.startswith(b"HTTP/1.1 200")
            assert came.endswith(b'x"')
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert (await reader.read()).endswith(b'x"')
        writer.close()
        await writer.wait_closed()
        stop.set()
        await serving

    asyncio.run(body())


def test_a_head_without_end_is_cut_off() -> None:
    app = FastAPI()

    @app.get("/")
    async def root() -> str:
        return "done"

    async def answer_to(port: int, size: int) -> bytes:
        """Return the status; a connection that was cut may have lost it on the way."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nX-Big: ")
            for _ in range(size // 4_000):
                writer.write(b"a" * 4_000)
                await writer.drain()
                await asyncio.sleep(0.001)  # so that it comes in parts
            writer.write(b"\r\n\r\n")
            return (await reader.readline()).split()[1]
        except ConnectionError:
            return b"cut"
        finally:
            writer.close()

    async def body() -> None:
        stop = asyncio.Event()
        listening = socket.create_server(("127.0.0.1", 0))
        port = listening.getsockname()[1]
        serving = asyncio.create_task(serve_app(app, listening, stop))
        assert await answer_to(port, 20_000) == b"200"
        assert await answer_to(port, 400_000) in (b"400", b"cut")
        stop.set()
        await serving

    asyncio.run(body())


def test_without_its_database_it_says_so_and_comes_back_by_itself() -> None:
    async def body(folder: Path) -> None:
        postgres = start_postgres(folder, "fsync=off")
        try:
            upgrade(postgres.conninfo)
            async with served_api(postgres.conninfo, settings={"rate_limit_address": "100000/minute"}) as api:

                @api.app.get("/read")
                async def read() -> int:
                    found: int = await api.services.pool.fetchval("select 1")
                    return found

                assert (await api.client.get("/ready")).status_code == 200
                postgres.kill()
                lost = await api.client.get("/read")
                assert (lost.status_code, lost.json()["code"]) == (503, "database-unavailable")
                assert lost.headers["retry-after"] == "1"
                await until_ready(api.client, 503)
                assert (await api.client.get("/health")).status_code == 200
                postgres = start_postgres(folder, "fsync=off")
                await until_ready(api.client, 200)
                assert (await api.client.get("/read")).json() == 1
        finally:
            postgres.stop()

    with reachable_folder() as folder:
        asyncio.run(body(folder))


async def until_ready(client: httpx.AsyncClient, status: int) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while (await client.get("/ready")).status_code != status:
            await asyncio.sleep(0.05)
