"""A withdrawal from its user's wish to the books' decision: every way it can go, and every refusal."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from random import Random
from typing import Any

import asyncpg
import pytest

from live.books.commands import Answer, Command, KeyReused, NotAnswered
from live.identity.errors import Conflict, NotAuthenticated, NotThere
from live.identity.moments import moment, nanoseconds
from live.ledger.inputs import WithdrawalApproved, WithdrawalRefused
from risk.errors import InvalidInput
from risk.inputs import ServiceLevelSet
from risk.settings import DAY_NS, MINUTE_NS, SECOND_NS
from tests.risk.book_builder import D
from tests.wallets.simulated_chain import HOT
from tests.wallets.till import RULES, Till, a_till, address


def on_till(dsn: str, body: Callable[[Till], Awaitable[None]], **how: object) -> None:
    async def run() -> None:
        async with a_till(dsn, **how) as till:  # type: ignore[arg-type]
            await body(till)

    asyncio.run(run())


def test_a_small_one_is_held_confirmed_by_its_letter_and_approved_at_once(database: str) -> None:
    async def body(till: Till) -> None:
        ann = await till.user("ann", 1_000)
        to = await till.booked(ann)
        await till.fill()
        asked = await till.ask(ann, to, "100.000001")
        assert await till.cash(ann) == D("898.999999")  # the amount, and a fee of 1
        row = await till.row(asked.id)
        assert (row["status"], row["address"], row["fee"]) == ("UNCONFIRMED", to.address, 1)
        (letter,) = till.letters
        assert letter.to == "ann@example.org"
        assert asked.id in letter.text
        assert to.address in letter.text
        assert "100.000001" in letter.text
        answer = await till.withdrawals.confirm(ann, asked.id, till.token())
        assert answer.status == "DONE"
        row = await till.row(asked.id)
        assert (row["status"], row["tier"], row["approvals_needed"]) == ("APPROVED", "SMALL", [])
        assert till.codes == [ann]

    on_till(database, body)


_TIERS: tuple[tuple[str, str, list[str]], ...] = (
    ("9999.999999", "SMALL", []),
    ("10000", "MEDIUM", ["OPERATIONS"]),
    ("100000", "MEDIUM", ["OPERATIONS"]),
    ("100000.000001", "LARGE", ["RISK_MANAGER", "OPERATIONS"]),
)


def test_the_amount_decides_who_looks(database: str) -> None:
    async def body(till: Till) -> None:
        ann = await till.user("ann")
        await till.fill()
        for number, (amount, tier, needed) in enumerate(_TIERS, 1):
            row = await till.row(await till.confirmed(ann, await till.booked(ann, number), amount))
            assert (row["tier"], row["approvals_needed"], row["review_reasons"]) == (tier, needed, [])
            assert row["status"] == ("REVIEW" if needed else "APPROVED")

    on_till(database, body)


def test_each_reason_sends_a_small_one_to_review(database: str) -> None:
    async def body(till: Till) -> None:
        ann, bob = await till.user("ann"), await till.user("bob")
        same, other, black, empty = [
            await till.booked(ann, n, chain)
            for n, chain in ((1, "arbitrum"), (2, "arbitrum"), (3, "arbitrum"), (4, "base"))
        ]
        bobs = await till.booked(bob, 1)
        await till.fill()

        async def reasons(to: object, user: str = ann) -> list[str]:
            return (await till.row(await till.confirmed(user, to)))["review_reasons"]  # type: ignore[arg-type]

        # What another asked for and did not confirm counts for nobody but him.
        for _ in range(4):
            assert (await till.ask(bob, bobs)).status == "DONE"
        assert await reasons(same) == []
        assert await reasons(bobs, bob) == ["SAME_ADDRESS"]
        till.wait(DAY_NS)
        # Whoever confirmed it: what counts is the address. The fourth within a day is looked at, a day later none is.
        assert [await reasons(same), await reasons(bobs, bob), await reasons(same)] == [[], [], []]
        assert await reasons(bobs, bob) == ["SAME_ADDRESS"]
        assert await reasons(other) == []
        till.wait(DAY_NS)
        assert await reasons(same) == []
        await till.pool.execute(
            "insert into access.blacklist values ($1, 'stolen funds', 'rita', $2)",
            *(black.address, moment(till.desk.clock.now_ns())),
        )
        assert await reasons(black) == ["BLACKLISTED"]
        assert await reasons(empty) == ["HOT_WALLET_LOW"]  # nothing is known of a wallet on base
        await till.fill("99999.999999")
        assert await reasons(other) == ["HOT_WALLET_LOW"]

    on_till(database, body)


@pytest.mark.parametrize("order", ["forward", "reverse", "shuffled", "at once"])
@pytest.mark.parametrize(("accounts", "each"), [(8, 1), (1, 4), (2, 3), (3, 2)])
def test_three_to_one_address_a_day_pass_in_whatever_order_they_are_confirmed(
    database: str, order: str, accounts: int, each: int
) -> None:
    async def body(till: Till) -> None:
        users = [await till.user(f"ann{chr(97 + number)}") for number in range(accounts)]
        booked = [(user, await till.booked(user)) for user in users]
        await till.fill()
        asked = []
        for user, to in booked:
            for _ in range(each):
                name = (await till.ask(user, to, "9999")).id
                asked.append((user, name, till.token()))
        if order == "reverse":
            asked.reverse()
        elif order == "shuffled":
            Random(7).shuffle(asked)
        confirmations = [till.withdrawals.confirm(*one) for one in asked]
        if order == "at once":
            await asyncio.gather(*confirmations)
        else:
            for confirmation in confirmations:
                await confirmation
        found = Counter((await till.statuses()).values())
        if accounts == 1 or each == 1 or order == "reverse":
            assert found == {"APPROVED": 3, "REVIEW": accounts * each - 3}
        assert found["APPROVED"] <= 3

    on_till(database, body)


def test_confirmations_at_once_wait_for_each_other_s_outcome_at_one_address_alone(database: str) -> None:
    async def body(till: Till) -> None:
        ann, bob = await till.user("ann"), await till.user("bob")
        await till.fill()
        booked = {(user, n): await till.booked(user, n) for user, n in ((ann, 1), (bob, 1), (bob, 2))}
        names = {}
        for (user, number), to in booked.items():
            names[user, number] = ((await till.ask(user, to)).id, till.token())
        bus, held, go_on = till.withdrawals._bus, asyncio.Event(), asyncio.Event()

        class Slow:
            async def submit(self, command: Command) -> Answer:
                if command.asked.withdrawal_id == names[ann, 1][0]:  # type: ignore[union-attr]
                    held.set()
                    await go_on.wait()
                return await bus.submit(command)

        till.withdrawals._bus = Slow()  # type: ignore[assignment]
        first = asyncio.create_task(till.withdrawals.confirm(ann, *names[ann, 1]))
        await held.wait()
        second = asyncio.create_task(till.withdrawals.confirm(bob, *names[bob, 1]))
        await till.withdrawals.confirm(bob, *names[bob, 2])
        assert (await asyncio.wait({second}, timeout=0.1))[0] == set()
        go_on.set()
        assert [(await each).status for each in (first, second)] == ["DONE", "DONE"]

    on_till(database, body)


_WHO_LOCKS = """select pid from pg_locks where locktype = 'advisory'
    and (classid::bigint << 32 | objid::bigint) = (select hashtextextended('withdrawals.address ' || address, 0)
        from withdrawals where lower(address) = $1 limit 1)"""
_END_WHO_LOCKS = f"select pg_terminate_backend(pid, 5000) from ({_WHO_LOCKS}) as who"


async def asked_by_others(till: Till, number: int) -> list[tuple[str, str, str]]:
    """Ask for withdrawals to one address by as many users; return what confirms each."""
    users = [await till.user(f"ann{chr(97 + each)}") for each in range(number)]
    booked = [(user, await till.booked(user)) for user in users]
    await till.fill()
    return [(user, (await till.ask(user, to)).id, till.token()) for user, to in booked]


@pytest.mark.parametrize("breaks", ["bus", "connection", "everything"])
def test_what_the_books_did_not_answer_and_may_yet_take_counts_as_confirmed(
    database: str, breaks: str
) -> None:
    async def body(till: Till) -> None:
        asked = await asked_by_others(till, 5)
        withdrawals, bus = till.withdrawals, till.withdrawals._bus
        late: list[Command] = []

        class Late:
            async def submit(self, command: Command) -> Answer:
                late.append(command)
                if breaks != "bus":  # which takes the lock along, and all that was not committed
                    assert await till.pool.fetchval(_END_WHO_LOCKS, address(17))
                if breaks == "everything":
                    raise asyncio.CancelledError  # as if the process had ended here
                raise NotAnswered("the books did not answer")

        withdrawals._bus = Late()  # type: ignore[assignment]
        for one in asked[:3]:
            with pytest.raises((NotAnswered, asyncio.CancelledError)):
                await withdrawals.confirm(*one)
            assert await till.pool.fetch(_WHO_LOCKS, address(17)) == []
        withdrawals._bus = bus
        await withdrawals.confirm(*asked[3])
        assert (await till.row(asked[3][1]))["review_reasons"] == ["SAME_ADDRESS"]
        for command in late:
            assert (await bus.submit(command)).status == "DONE"
        for one in asked[:3]:  # whoever asks again is told, and gets nothing more
            assert (await withdrawals.confirm(*one)).status == "DONE"
        await withdrawals.confirm(*asked[4])
        assert Counter((await till.statuses()).values()) == {"APPROVED": 3, "REVIEW": 2}

    on_till(database, body)


def test_what_the_books_refused_to_confirm_does_not_count(database: str) -> None:
    async def body(till: Till) -> None:
        asked = await asked_by_others(till, 4)
        await till.desk.ask(ServiceLevelSet(0, 3, "rita", "a drill"))
        for one in asked[:3]:
            assert (await till.withdrawals.confirm(*one)).status == "REFUSED"
        await till.desk.ask(ServiceLevelSet(0, 0, "rita", "over"))
        assert (await till.withdrawals.confirm(*asked[3])).status == "DONE"
        assert (await till.row(asked[3][1]))["status"] == "APPROVED"

    on_till(database, body)


def test_of_confirmations_of_one_at_once_all_are_done(database: str) -> None:
    async def body(till: Till) -> None:
        ann = await till.user("ann")
        await till.fill()
        asked, token = (await till.ask(ann, await till.booked(ann))).id, till.token()
        answers = await asyncio.gather(*(till.withdrawals.confirm(ann, asked, token) for _ in range(6)))
        assert {answer.status for answer in answers} == {"DONE"}

    on_till(database, body)


@pytest.mark.parametrize("own_session", [True, False])
def test_an_unusual_log_in_sends_to_review_for_a_day_or_as_long_as_it_is_used(
    database: str, own_session: bool
) -> None:
    async def body(till: Till) -> None:
        ann = await till.user("ann")
        to = await till.booked(ann)
        await till.fill()
        session = "s" + 20 * "a"
        now = moment(till.desk.clock.now_ns())
        await till.pool.execute(
            """insert into access.sessions (id, account_id, method, ip, user_agent, unusual, created_at, expires_at,
            last_used_at) values ($1, $2, 'PASSWORD', '192.0.2.7', '', true, $3, $4, $3)""",
            *(session, ann, now, moment(till.desk.clock.now_ns() + 9 * DAY_NS)),
        )
        by = {"credential": session if own_session else "s-other"}
        for expected in (["UNUSUAL_LOGIN"], ["UNUSUAL_LOGIN"] if own_session else []):
            asked = await till.ask(ann, to, **by)
            await till.withdrawals.confirm(ann, asked.id, till.token())
            assert (await till.row(asked.id))["review_reasons"] == expected
            till.wait(DAY_NS + SECOND_NS)

    on_till(database, body)


@pytest.mark.parametrize(
    ("before_ns", "expected"), [(DAY_NS // 2, ["UNUSUAL_LOGIN"]), (DAY_NS, []), (-1_000, [])]
)
def test_an_address_booked_after_an_unusual_log_in_stays_suspicious(
    database: str, before_ns: int, expected: list[str]
) -> None:
    async def body(till: Till) -> None:
        ann = await till.user("ann")
        await till.fill()
        to = await till.booked(ann)
        at_ns = nanoseconds(to.created_at) - before_ns
        await till.pool.execute(
            """insert into access.sessions (id, account_id, method, ip, user_agent, unusual, created_at, expires_at,
            last_used_at) values ($1, $2, 'PASSWORD', '192.0.2.7', '', true, $3, $4, $3)""",
            *("s" + 20 * "a", ann, moment(at_ns), moment(at_ns + 9 * DAY_NS)),
        )
        till.wait(3 * DAY_NS)
        asked = await till.ask(ann, to, credential="s-other")
        await till.withdrawals.confirm(ann, asked.id, till.token())
        assert (await till.row(asked.id))["review_reasons"] == expected

    on_till(database, body)


def test_the_same_key_gets_the_first_answer_without_another_code_or_letter(database: str) -> None:
    async def body(till: Till) -> None:
        ann = await till.user("ann", 1_000)
        to = await till.booked(ann)
        first = await till.ask(ann, to, 100, "k")
        await till.withdrawals.addresses.remove(ann, to.id)  # what counted was how it stood then
        assert await till.ask(ann, to, 100, "k") == first
        assert (till.codes, len(till.letters)) == ([ann], 1)
        with pytest.raises(KeyReused):
            await till.ask(ann, to, 101, "k")
        assert await till.cash(ann) == 899

    on_till(database, body)


def test_a_key_that_another_command_had_leaves_out_neither_the_code_nor_the_limits(database: str) -> None:
    async def body(till: Till) -> None:
        ann = await till.user("ann", 1_000)
        to = await till.booked(ann)
        first = await till.ask(ann, to, 100, "k")
        bus, sent = till.withdrawals._bus, []

        class Forgetful:  # as the books are a day later, between the look at their answers and the command
            async def submit(self, command: Command) -> Answer:
                sent.append(command)
                return await bus.submit(replace(command, key=command.key + "-forgotten"))

        till.withdrawals._bus = Forgetful()  # type: ignore[assignment]
        with pytest.raises(KeyReused):
            await till.ask(ann, to, "9.99", "k")
        with pytest.raises(KeyReused):
            await till.withdrawals.cancel(ann, first.id, f"{ann}:k")
        assert await till.ask(ann, to, 100, "k") == first  # nor is it done twice
        assert (sent, till.codes, await till.cash(ann)) == ([], [ann], 899)

    on_till(database, body)


def test_what_breaks_off_between_the_books_and_the_letter_is_made_good_by_the_same_key(database: str) -> None:
    async def body(till: Till) -> None:
        ann = await till.user("ann", 1_000)
        to = await till.booked(ann)

        async def lost(*_: object) -> None:
            raise ConnectionError("the power cut")

        posted, till.withdrawals._tokens.issue = till.withdrawals._tokens.issue, lost  # type: ignore[method-assign]
        with pytest.raises(ConnectionError):
            await till.ask(ann, to, 100, "k")
        till.withdrawals._tokens.issue = posted  # type: ignore[method-assign]
        assert (await till.cash(ann), till.letters) == (899, [])
        again = await till.ask(ann, to, 100, "k")
        assert (await till.withdrawals.confirm(ann, again.id, till.token())).status == "DONE"
        assert till.codes == [ann]

    on_till(database, body)


def test_amounts_outside_the_limits_cost_no_code(database: str) -> None:
    async def body(till: Till) -> None:
        ann = await till.user("ann")
        to = await till.booked(ann)
        for amount in ("9.999999", "1000000.000001"):
            with pytest.raises(InvalidInput, match=f"amount was {amount}"):
                await till.ask(ann, to, amount)
        assert (till.codes, await till.statuses(), await till.cash(ann)) == ([], {}, 1_000_000)

    on_till(database, body)


def test_more_than_there_is_is_refused_by_the_books(database: str) -> None:
    async def body(till: Till) -> None:
        ann = await till.user("ann", 100)
        to = await till.booked(ann)
        answer = await till.ask(ann, to, 100)  # and the fee
        assert (answer.status, answer.code) == ("REFUSED", "WITHDRAWAL_EXCEEDS_FREE")
        assert (till.letters, await till.cash(ann)) == ([], 100)

    on_till(database, body)


def test_a_wrong_second_factor_changes_nothing(database: str) -> None:
    async def body(till: Till) -> None:
        ann = await till.user("ann", 1_000)
        to = await till.booked(ann)

        async def wrong(_: str) -> None:
            raise NotAuthenticated("wrong-code", "the code is wrong")

        with pytest.raises(NotAuthenticated):
            await till.ask(ann, to, second_factor=wrong)
        assert (await till.statuses(), await till.cash(ann)) == ({}, 1_000)

    on_till(database, body)


def test_addresses_are_locked_for_a_day_and_again_when_added_again(database: str) -> None:
    async def body(till: Till) -> None:
        ann = await till.user("ann")
        book = till.withdrawals.addresses
        to, new = await book.add(ann, "arbitrum", address(5), "ledger")
        assert new
        assert await book.add(ann, "arbitrum", address(5), "ledger") == (to, False)
        for _ in range(2):
            with pytest.raises(Conflict, match="can be used from"):
                await till.ask(ann, to)
            till.wait(DAY_NS - 1_000)
            with pytest.raises(Conflict, match="can be used from"):
                await till.ask(ann, to)
            till.wait(1_000)
            assert (await till.ask(ann, to)).status == "DONE"
            await book.remove(ann, to.id)
            with pytest.raises(NotThere):
                await till.ask(ann, to)
            with pytest.raises(NotThere):
                await book.remove(ann, to.id)
            to, new = await book.add(ann, "arbitrum", address(5), "ledger")
            assert new
        assert [each.id for each in await book.all(ann)] == [to.id]

    on_till(database, body)


def test_what_does_not_belong_into_an_address_book(database: str) -> None:
    async def body(till: Till) -> None:
        ann, bob = await till.user("ann"), await till.user("bob")
        book = till.withdrawals.addresses
        await till.fill()
        with pytest.raises(InvalidInput, match="chain was 'solana'"):
            await book.add(ann, "solana", address(1), "x")
        with pytest.raises(InvalidInput, match="checksum"):
            await book.add(ann, "base", HOT.replace("B", "b", 1), "x")
        with pytest.raises(InvalidInput, match="label"):
            await book.add(ann, "base", address(1), " ")
        with pytest.raises(Conflict, match="platform's own"):
            await book.add(ann, "base", HOT, "x")
        mine, _ = await book.add(ann, "base", address(1), "x")
        with pytest.raises(Conflict, match="'x'"):
            await book.add(ann, "base", address(1), "y")
        assert (await book.add(ann, "arbitrum", address(1), "y"))[1]
        with pytest.raises(Conflict, match="no more fit"):
            await book.add(ann, "ethereum", address(1), "z")
        # Of another's addresses nobody learns anything.
        till.wait(DAY_NS)
        for attempt in (till.ask(bob, mine), book.remove(bob, mine.id), book.find(bob, mine.id)):
            with pytest.raises(NotThere):
                await attempt
        assert await book.all(bob) == []

    on_till(database, body, rules=replace(RULES, addresses_most=2))


def test_the_owner_is_told_of_a_new_address_once(database: str) -> None:
    async def body(till: Till) -> None:
        ann = await till.user("ann")
        for _ in range(2):
            await till.withdrawals.add_address(ann, "arbitrum", address(9), "new")
        (letter,) = till.letters
        assert letter.to == "ann@example.org"
        assert "(new)" in letter.text

    on_till(database, body)


@pytest.mark.parametrize("broken", ["select email", "insert into access.security_events"])
def test_an_address_whose_owner_could_not_be_told_is_not_added(
    database: str, broken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body(till: Till) -> None:
        ann = await till.user("ann")
        added = till.withdrawals.add_address(ann, "arbitrum", address(9), "new")
        queries = {name: getattr(asyncpg.Connection, name) for name in ("fetchval", "execute")}

        def failing(name: str) -> Any:
            async def query(self: asyncpg.Connection, text: str, *given: Any, **how: Any) -> Any:
                if broken in text:
                    raise ConnectionError("the database went away")
                return await queries[name](self, text, *given, **how)

            return query

        with monkeypatch.context() as patch:
            for name in queries:
                patch.setattr(asyncpg.Connection, name, failing(name))
            with pytest.raises(ConnectionError):
                await added
        assert (await till.withdrawals.addresses.all(ann), till.letters) == ([], [])
        booked, new = await till.withdrawals.add_address(ann, "arbitrum", address(9), "new")
        assert (new, len(till.letters)) == (True, 1)
        await till.withdrawals.addresses.remove(ann, booked.id)
        events = await till.pool.fetch("select kind, detail from access.security_events order by id")
        assert [tuple(each) for each in events] == [
            ("ADDRESS_ADDED", f"arbitrum {booked.address}"),
            ("ADDRESS_REMOVED", str(booked.id)),
        ]

    on_till(database, body)


def test_an_account_without_an_e_mail_address_cannot_withdraw(database: str) -> None:
    async def body(till: Till) -> None:
        ann = await till.user("ann", email=False)
        to = await till.booked(ann)
        with pytest.raises(Conflict, match="e-mail"):
            await till.ask(ann, to)
        assert await till.statuses() == {}

    on_till(database, body)


def test_a_token_confirms_its_own_withdrawal_of_its_own_user_once(database: str) -> None:
    async def body(till: Till) -> None:
        ann, bob = await till.user("ann"), await till.user("bob")
        to, bobs = await till.booked(ann), await till.booked(bob, 2)
        first = await till.ask(ann, to)
        token = till.token()
        second = await till.ask(bob, bobs)
        others = till.token()
        confirm = till.withdrawals.confirm
        for user, name, shown, error in (
            (ann, first.id, others, NotAuthenticated),
            (ann, first.id, 43 * "x", NotAuthenticated),
            (bob, first.id, token, NotThere),
            (bob, second.id, token, NotAuthenticated),
            (ann, "w999", token, NotThere),
        ):
            with pytest.raises(error):
                await confirm(user, name, shown)
        assert set((await till.statuses()).values()) == {"UNCONFIRMED"}
        assert (await confirm(ann, first.id, token)).status == "DONE"
        assert (await confirm(ann, first.id, token)).status == "DONE"  # to repeat it is harmless
        with pytest.raises(NotAuthenticated):
            await confirm(bob, second.id, token)

    on_till(database, body)


def test_a_token_whose_confirmation_was_not_taken_is_good_again(database: str) -> None:
    async def body(till: Till) -> None:
        ann = await till.user("ann")
        asked = await till.ask(ann, await till.booked(ann))
        await till.desk.ask(ServiceLevelSet(0, 3, "rita", "a drill"))
        answer = await till.withdrawals.confirm(ann, asked.id, till.token())
        assert (answer.status, answer.code) == ("REFUSED", "SERVICE_LEVEL")
        await till.desk.ask(ServiceLevelSet(0, 0, "rita", "over"))
        assert (await till.withdrawals.confirm(ann, asked.id, till.token())).status == "DONE"

    on_till(database, body)


def test_what_is_not_confirmed_in_half_an_hour_is_given_back(database: str) -> None:
    async def body(till: Till) -> None:
        ann = await till.user("ann", 1_000)
        to = await till.booked(ann)
        asked = await till.ask(ann, to)
        till.wait(30 * MINUTE_NS - 1_000)
        assert await till.withdrawals.expire() == 0
        till.wait(1_000)
        assert [await till.withdrawals.expire(), await till.withdrawals.expire()] == [1, 0]
        row = await till.row(asked.id)
        assert (row["status"], row["refused_by"], row["reason"]) == (
            "REFUSED",
            "books",
            "NOT_CONFIRMED_IN_TIME",
        )
        assert await till.cash(ann) == 1_000  # and the fee
        with pytest.raises(Conflict, match="expired"):
            await till.withdrawals.confirm(ann, asked.id, till.token())

    on_till(database, body)


def test_its_user_cancels_it_until_it_is_being_sent(database: str) -> None:
    async def body(till: Till) -> None:
        ann, bob = await till.user("ann", 60_000), await till.user("bob")
        to = await till.booked(ann)
        await till.fill()
        cancel = till.withdrawals.cancel
        unconfirmed = (await till.ask(ann, to)).id
        review = await till.confirmed(ann, to, 20_000)
        approved = await till.confirmed(ann, to, 30_000)
        await till.desk.ask(WithdrawalApproved(0, approved, "otto", "OPERATIONS"))
        await till.fill(0)
        assert (await till.row(approved))["status"] == "QUEUED"
        for place, name in enumerate((unconfirmed, review, approved)):
            with pytest.raises(NotThere):
                await cancel(bob, name, f"b{place}")
            first = await cancel(ann, name, f"a{place}")
            assert first.status == "DONE"
            assert await cancel(ann, name, f"a{place}") == first
            with pytest.raises(Conflict, match="REFUSED"):
                await cancel(ann, name, f"c{place}")
            assert (await till.row(name))["reason"] == "CANCELLED_BY_USER"
        assert await till.cash(ann) == 60_000
        till.chain.slow = True
        sending = await till.confirmed(ann, to)
        await till.desk.ask(WithdrawalApproved(0, sending, "otto", "OPERATIONS"))
        till.chain.balances["arbitrum"] = D(500)
        await till.dispatcher.step()
        with pytest.raises(Conflict, match="SENDING"):
            await cancel(ann, sending, "d")

    on_till(database, body)


def test_an_operator_s_refusal_gives_the_money_back(database: str) -> None:
    async def body(till: Till) -> None:
        ann = await till.user("ann", 20_000)
        name = await till.confirmed(ann, await till.booked(ann), 15_000)
        assert (await till.desk.ask(WithdrawalRefused(0, name, "otto", "not theirs"))).status == "DONE"
        assert await till.cash(ann) == 20_000

    on_till(database, body)
