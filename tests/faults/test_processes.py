"""More than one books process, and the end of one in order: nobody writes twice, and what was taken is answered."""

import asyncio
import signal

import psycopg
import pytest

from live.books.commands import Command
from live.ledger.inputs import DepositArrived, UserRegistered
from risk.inputs import OrderSubmitted
from tests.live.books import own_database
from tests.load.books_main import REFUSED, TAKEN_OVER
from tests.load.clients import Client
from tests.load.harness import NotStarted, harness
from tests.postgres import postgres
from tests.risk.book_builder import D

__all__ = ["own_database", "postgres"]


def test_second_process_is_refused_by_name_and_disturbs_nobody(database, tmp_path):
    async def scenario():
        async with harness(database, tmp_path) as load:
            books = await load.start()
            async with load.load():
                await load.answered(200)
                with pytest.raises(NotStarted, match=rf"being written by \S+ pid {books.process.pid} since"):
                    await load.start()
                await load.answered(200)
            await load.finish(books)

    asyncio.run(scenario())


def test_second_process_that_takes_over_fences_the_first(database, tmp_path):
    async def scenario():
        async with harness(database, tmp_path) as load:
            first = await load.start()
            async with load.load():
                await load.answered(200)
                second = await load.start("--take-over", "--socket", "second")
                assert await first.ended() == TAKEN_OVER
                assert "taken over" in first.said
                load.point_clients_at("second")
                await load.answered(200)
                with pytest.raises(NotStarted) as refused:  # the lock has gone over with the books
                    await load.start()
                assert refused.value.code == REFUSED
                assert f"pid {second.process.pid}" in refused.value.said
            await load.check(second.standing)
            await load.finish(second)

    asyncio.run(scenario())


def test_first_process_that_only_slept_cannot_write_when_it_wakes(database, tmp_path):
    async def scenario():
        async with harness(database, tmp_path) as load:
            first = await load.start()
            async with load.load():
                await load.answered(200)
                first.process.send_signal(signal.SIGSTOP)
                second = await load.start("--take-over", "--socket", "second")
                load.point_clients_at("second")
                for client in load.clients:
                    client.hang_up()
                await load.answered(200)
                first.process.send_signal(signal.SIGCONT)
                assert await first.ended() == TAKEN_OVER
                await load.answered(200)
            await load.finish(second)

    asyncio.run(scenario())


def test_sigterm_under_load_answers_what_was_taken_and_leaves_a_snapshot_of_the_end(database, tmp_path):
    async def scenario():
        async with harness(database, tmp_path) as load:
            books = await load.start("--snapshot-every", "1000000")
            async with load.load():
                await load.answered(300)
                ended = await books.stop()
                assert books.said == ""
                with psycopg.connect(database) as connection:
                    snapshots = connection.execute(
                        "select max(seq), max(digest) from book_snapshots"
                    ).fetchone()
                assert snapshots == (ended.seq, ended.digest)
                again = await load.start()
                assert (again.standing.seq, again.standing.digest) == (ended.seq, ended.digest)
                await load.check(again.standing)
                await load.answered(300)
            await load.finish(again)

    asyncio.run(scenario())


def test_commands_sent_many_times_in_any_order_are_done_once(database, tmp_path):
    """Forty keys, each from four connections at once in its own order, through a kill; every copy has one answer."""

    async def scenario():
        async with harness(database, tmp_path, clients=0) as load:
            books = await load.start()
            record = load.record
            clients = [Client(f"copy{n}", tmp_path / "books", record, "1") for n in range(4)]
            await clients[0].ask([Command("ann", UserRegistered(0, "ann"))])
            deposits = [
                DepositArrived(0, f"d{n}", "ann", D(1_000), "eth", "USDC", f"0x{n}", 12) for n in range(20)
            ]
            orders = [OrderSubmitted(0, "", "ann", "ETH", 1, D("0.1"), leverage=5) for _ in range(20)]
            commands = [Command(f"k{n}", asked) for n, asked in enumerate([*deposits, *orders])]
            for shift in range(6):
                turned = [commands[(n * 7 + shift * 11) % 40] for n in range(40)]
                asking = [asyncio.create_task(client.ask(list(turned))) for client in clients]
                if shift == 2:
                    books.kill()
                    books = await load.come_back()
                await asyncio.gather(*asking)
            for client in clients:
                client.hang_up()
            await load.finish(books)
            assert len(record.acknowledged) == 41
            with psycopg.connect(database) as connection:
                counts = connection.execute(
                    "select (select count(*) from deposits), (select count(*) from orders)"
                ).fetchone()
            assert counts == (20, 20)

    asyncio.run(scenario())
