"""Kill the books again and again under load, and check everything each time: ``./run soak --kills 200``.

Each kill is a SIGKILL at a random moment: while commands are looked up, handled, committed, answered, while a
snapshot is stored, or before the books stand again. After each, what clients were told is compared with the
database, sums are taken, and the books' digest with a replay of the whole journal. Ends with 1 at the first
violation, and keeps the files it is seen in.
"""

import argparse
import asyncio
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

from live.ledger.migrate import upgrade
from tests.faults.kills import Outcome, kill_and_come_back
from tests.load.harness import Harness, harness
from tests.load.verdict import Violated
from tests.postgres import reachable_folder, start_postgres

_LINES = 40  # at most, of progress where there is no terminal


def main() -> int:
    """Run; return the exit code."""
    parser = argparse.ArgumentParser(prog="./run soak", description="Kill the books at random under load.")
    parser.add_argument("--kills", type=_positive, default=200, help="how often (200)")
    parser.add_argument("--seconds", type=_positive, help="stop after so long, whatever the number of kills")
    parser.add_argument("--clients", type=_positive, default=8, help="how many ask at once (8)")
    parser.add_argument(
        "--seed", default=str(random.SystemRandom().randrange(1_000_000)), help="of the moments"
    )
    arguments = parser.parse_args()
    print(
        f"soak: up to {arguments.kills} kills, {arguments.clients} clients, --seed {arguments.seed}",
        flush=True,
    )
    folder = Path(tempfile.mkdtemp(prefix="soak-"))
    try:
        asyncio.run(soak(arguments, folder))
    except KeyboardInterrupt:
        print("soak: interrupted", file=sys.stderr)
        return 130
    except (Violated, AssertionError, TimeoutError) as error:
        print(
            f"soak: VIOLATED with --seed {arguments.seed}: {error or type(error).__name__}", file=sys.stderr
        )
        print(f"soak: what clients were told and what the books said is in {folder}", file=sys.stderr)
        return 1
    shutil.rmtree(folder)
    return 0


def _positive(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"was {text!r}; it must be a whole number above 0")
    return int(text)


async def soak(arguments: argparse.Namespace, folder: Path) -> None:
    """Kill as often as asked for on a durable database of its own, and tell how it goes."""
    with reachable_folder() as place:
        server = start_postgres(place)
        try:
            upgrade(server.conninfo)
            async with harness(server.conninfo, folder, arguments.seed, arguments.clients) as load:
                await _kill(load, arguments)
        finally:
            server.stop()


async def _kill(load: Harness, arguments: argparse.Namespace) -> None:
    began, done, kills = time.monotonic(), 0, arguments.kills
    outcome = Outcome(0, 0)
    async for outcome in kill_and_come_back(load, kills, arguments.seed, _until(began, arguments.seconds)):
        done += 1
        spent = time.monotonic() - began
        _tell(done, kills, outcome, spent * (kills - done) / done)
    record, spent = load.record, time.monotonic() - began
    print(
        f"soak: {done} kills in {spent:.0f} s ({load.starts} starts): {outcome.acknowledged:,} commands "
        f"acknowledged, {record.asked_again:,} asked again, {load.verifier.replayed:,} inputs replayed; "
        "none lost, none doubled, sums zero, every digest equal to the replay's"
    )


def _until(began: float, seconds: int | None) -> float:
    return float("inf") if seconds is None else began + seconds


def _tell(done: int, kills: int, outcome: Outcome, left_s: float) -> None:
    text = (
        f"soak: kill {done}/{kills}, {outcome.acknowledged:,} acknowledged, input {outcome.seq:,}, "
        f"{left_s:.0f} s left"
    )
    if sys.stdout.isatty():
        print(f"\r{text}\x1b[K", end="\n" if done == kills else "", flush=True)
    elif done % max(1, kills // _LINES) == 0:
        print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
