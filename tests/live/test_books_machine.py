"""Random histories of commands, markets, venue answers and crashes: database, ``Book`` and naive ledger stay equal."""

import asyncio
import itertools
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from typing import Any

import asyncpg
import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from live.books.clock import SetClock
from live.books.commands import Answer, Command, KeyReused, NotAnswered
from live.books.process import BooksProcess, Limits
from live.books.service import open_books
from live.ledger.book_options import BookOptions
from live.ledger.inputs import (
    BooksReleased,
    CommandInvalid,
    CommandRefused,
    DepositArrived,
    DepositRejected,
    DepositSeen,
    HotWalletReported,
    KycChanged,
    ReconciliationDone,
    UserRegistered,
    WithdrawalApproved,
    WithdrawalConfirmed,
    WithdrawalProcessed,
    WithdrawalQueued,
    WithdrawalRefused,
    WithdrawalRequested,
    WithdrawalSending,
)
from live.ledger.machine import Machine
from live.ledger.recovery import open_again, prove, take
from live.ledger.writer import CommitFailed, DatabaseLost
from risk.inputs import (
    Approval,
    BalanceAdjusted,
    CancelSubmitted,
    ChannelReported,
    ConfigChanged,
    FundingBooked,
    FundingPublished,
    HlAccount,
    MarginAdjusted,
    MarginMode,
    OrderSubmitted,
    OrderType,
    RoutingModeSet,
    ServiceLevelSet,
    VenueFilled,
    VenueOrderEnded,
)
from risk.settings import HOUR_NS, SECOND_NS, RiskConfig, RoutingConfig, RoutingMode
from tests.live.books import DEPTH, RecordingPort
from tests.live.naive_ledger import NaiveLedger
from tests.postgres import Postgres, postgres
from tests.risk.book_builder import MARKS, SPECS, START_NS, D, settings_with
from tests.risk.oracle_holdings import cents
from tests.risk.test_book_machine import COINS, RISK, SIDES, SYMBOLS

__all__ = ["postgres"]

NAMES = ("ann", "bob", "cyd")
USERS = st.sampled_from(NAMES)
MILLIONTHS = st.integers(1, 5_000_000_000).map(lambda n: D(n) / 1_000_000)
OPTIONS = BookOptions.of(
    SPECS,
    replace(
        settings_with({**RISK, "order_expiry_ns": 90 * SECOND_NS}, normal_threshold=D(30_000)),
        channel_silence_ns=dict.fromkeys(SPECS, 1_000 * HOUR_NS),
    ),
)
# By name of a withdrawal, more of them right than wrong.
WITHDRAWAL_STEPS = (
    lambda name: WithdrawalConfirmed(0, name, "AUTOMATIC"),
    lambda name: WithdrawalConfirmed(0, name, "LARGE", ("RISK", "OPS"), ("NEW_ADDRESS",)),
    lambda name: WithdrawalApproved(0, name, "op", "RISK"),
    lambda name: WithdrawalApproved(0, name, "op", "OPS"),
    lambda name: WithdrawalApproved(0, name, "boss", "OPS"),
    lambda name: WithdrawalQueued(0, name, "the hot wallet is short"),
    lambda name: WithdrawalSending(0, name),
    lambda name: WithdrawalProcessed(0, name, True, "0xf"),
    lambda name: WithdrawalProcessed(0, name, False, None, "no gas", again=True),
    lambda name: WithdrawalRefused(0, name, "op", "blocked"),
)
LIMITS = Limits(remembered=5, snapshot_every=25, lookup=4, batch=6)
BAD = (
    OrderSubmitted(0, "", "ann", "BTC", 1, D("0.000001")),
    OrderSubmitted(0, "", "ann", "DOGE", 1, D(1)),
    OrderSubmitted(0, "", "nobody", "BTC", 1, D(1)),
    OrderSubmitted(0, "mine", "ann", "BTC", 1, D(1)),
    OrderSubmitted(0, "", "ann", "BTC", 1, D(1), type=OrderType.LIMIT),
    OrderSubmitted(0, "", "ann", "BTC", 1, D(1), leverage=1_000),
    WithdrawalRequested(0, "", "ann", D("0.0000001"), "eth", "USDC", "0xa"),
    WithdrawalProcessed(0, "w999999", True),
    DepositArrived(0, "a", "ann", D(-1), "eth", "USDC", "0x1", 12),
    KycChanged(0, "ann", "PERHAPS", "op"),
    UserRegistered(0, "ann"),
    DepositRejected(0, "first-ann", "late"),
    HotWalletReported(0, "eth", "0x1", D(-1)),
    BalanceAdjusted(0, "", "ann", D(1), "why not", "op", Approval(1, "op")),
    BalanceAdjusted(0, "", "ann", D(0), "why not", "op", Approval(1, "boss")),
    ServiceLevelSet(0, 0, "op", "it is that already"),
    ServiceLevelSet(0, 4, "op", "worse than worst"),
    ConfigChanged(0, "op"),
    ConfigChanged(0, "op", risk=RiskConfig(), approval=Approval(1, "op")),
    BooksReleased(0, "op", "why", Approval(1, "")),
    RoutingModeSet(0, "DOGE", None, "op"),
    MarginAdjusted(0, "ann", 1, D(0)),
)


class FailingWriter:
    """Be a writer that dies, before or after its next statement reached the database."""

    def __init__(self, writer: Any, reaches: bool) -> None:
        self._writer, self._reaches = writer, reaches

    def __getattr__(self, name: str) -> Any:
        return getattr(self._writer, name)

    async def commit(self, *batch: Any) -> None:
        if self._reaches:
            await self._writer.commit(*batch)
        self._writer.connection.terminate()
        raise CommitFailed("the power went")


class Shadow:
    """Follow the journal in the database with a machine that never stops, and the naive ledger with its events."""

    def __init__(self) -> None:
        self.machine: Machine | None = None
        self.naive = NaiveLedger(OPTIONS.risk, SPECS)
        self.accepted: dict[str, int] = {}  # inputs by key that were carried out
        self.reconciled: list[ReconciliationDone] = []

    @property
    def seq(self) -> int:
        return -1 if self.machine is None else self.machine.seq

    async def follow(self, connection: asyncpg.Connection) -> None:
        for row in await connection.fetch(
            "select * from input_journal where seq > $1 order by seq", self.seq
        ):
            if self.machine is None:
                self.machine = open_again(row)
            else:
                given, events = take(self.machine, row)
                key = row["idempotency_key"]
                if events is not None:
                    symbols = self.machine.book._core.symbols
                    self.naive.take(given, events, {name: state.mark for name, state in symbols.items()})
                    if (
                        key is not None
                        and not isinstance(given, CommandInvalid | CommandRefused)
                        and row["kind"] != "MarketUpdated"
                    ):
                        self.accepted[key] = self.accepted.get(key, 0) + 1
                if isinstance(given, ReconciliationDone):
                    self.reconciled.append(given)
            self.machine.batch.clear()


class BooksMachine(RuleBasedStateMachine):
    """Drive books, a machine fed from their journal, and the naive ledger."""

    ORDERS = st.tuples(USERS, SYMBOLS, SIDES, st.integers(1, 60), st.sampled_from([3, 5, 10]), st.booleans())

    def __init__(self, server: Postgres) -> None:
        super().__init__()
        self.dsn = server.empty_database()
        self.runner = asyncio.Runner()
        self.clock = SetClock(START_NS)
        self.marks = {name: float(mark) for name, mark in MARKS.items()}
        self.shadow = Shadow()
        self.answers: dict[str, tuple[Command, Answer]] = {}
        self.unknown: dict[str, Command] = {}  # nobody could say what became of them
        self.sent: set[str] = set()
        self.keys = itertools.count()
        self.kyc_of: dict[str, str] = {}
        self.run(self._begin())

    def run(self, coroutine: Any) -> Any:
        return self.runner.run(coroutine)

    async def _begin(self) -> None:
        self.look = await asyncpg.connect(self.dsn)
        await self._open()
        for symbol in MARKS:
            self._tick(symbol)
        self.process.tell(ChannelReported(0, True))
        for name in NAMES:
            await self._ask(UserRegistered(0, name, f"{name}@x"))
            await self._ask(DepositArrived(0, f"first-{name}", name, D(20_000), "eth", "USDC", "0x1", 12))

    async def _open(self) -> None:
        self.ports = {account: RecordingPort() for account in HlAccount}
        self.stack = AsyncExitStack()
        books = open_books(self.dsn, OPTIONS, self.ports, clock=self.clock, limits=LIMITS)
        self.process: BooksProcess = await self.stack.enter_async_context(books)

    def teardown(self) -> None:
        self.run(self._end())
        self.runner.close()

    async def _end(self) -> None:
        try:
            await self._settled()
            await self._same_answers()
        finally:
            with suppress(DatabaseLost):
                await self.stack.aclose()
            await self.look.close()

    # -- asking

    def _key(self) -> str:
        return f"k{next(self.keys)}"

    async def _submit(self, command: Command) -> None:
        """Ask, and remember the answer: it must be the one given before, if any was."""
        try:
            answer = await self.process.submit(command)
        except NotAnswered:
            if command.key not in self.answers:
                self.unknown[command.key] = command
            return
        self.unknown.pop(command.key, None)
        _, before = self.answers.setdefault(command.key, (command, answer))
        assert answer == before

    async def _ask(self, asked: Any) -> None:
        await self._submit(Command(self._key(), asked))

    def ask(self, asked: Any) -> None:
        self.run(self._ask(asked))

    async def _settled(self) -> None:
        """Wait until all that was handled is committed, and follow the journal."""
        machine, writer = self.process.machine, self.process._commits.writer
        while (
            self.shadow.seq != machine.seq or machine.batch.size
        ):  # the chores may have told something meanwhile
            while machine.seq != writer.seq or machine.batch.size:
                assert not self.process.ended.is_set()
                await asyncio.sleep(0)
            await self.shadow.follow(self.look)

    # -- users

    @rule(
        user=st.sampled_from([*NAMES, "dan"]),
        email=st.sampled_from([None, "dan@x", "ann@x"]),
        wallet=st.sampled_from([None, "0xd"]),
    )
    def register(self, user, email, wallet):
        self.ask(UserRegistered(0, user, email, wallet))

    @rule(user=USERS, status=st.sampled_from(["PENDING", "APPROVED", "REJECTED"]))
    def kyc(self, user, status):
        before = self.kyc_of.get(user)
        self.ask(KycChanged(0, user, status, "op"))
        self.kyc_of[user] = status
        answer = next(reversed(self.answers.values()))[1]
        assert (answer.status, answer.code) == (
            ("REFUSED", "already-so") if before == status else ("DONE", "")
        )

    @rule(user=USERS, amount=MILLIONTHS, again=st.sampled_from([False, False, True]))
    def deposit(self, user, amount, again):
        name = "first-ann" if again else f"deposit-{self._key()}"
        self.ask(DepositArrived(0, name, user, amount, "eth", "USDC", "0x2", 12))

    @rule(user=USERS, amount=MILLIONTHS, fee=st.integers(0, 3))
    def withdraw(self, user, amount, fee):
        self.ask(WithdrawalRequested(0, "", user, amount, "eth", "USDC", "0xa", D(fee)))

    @precondition(lambda self: self.shadow.naive.withdrawals)
    @rule(data=st.data(), steps=st.lists(st.integers(0, 9), min_size=1, max_size=6))
    def withdrawals_go_on(self, data, steps):
        """Any step is tried on any withdrawal; those that may be taken are, and no others."""
        for step in steps:
            name = data.draw(st.sampled_from(sorted(self.shadow.naive.withdrawals)))
            self.step(WITHDRAWAL_STEPS[step](name))

    @rule(user=USERS, amount=MILLIONTHS, steps=st.permutations(range(10)))
    def withdraw_to_an_end(self, user, amount, steps):
        self.ask(WithdrawalRequested(0, "", user, amount, "eth", "USDC", "0xa", D(1)))
        name = next(reversed(self.answers.values()))[1].id
        self.run(self._settled())
        for step in steps:
            self.step(WITHDRAWAL_STEPS[step](name))

    def step(self, asked):
        may = self.shadow.naive.may(asked)
        self.ask(asked)
        answer = next(reversed(self.answers.values()))[1]
        assert (answer.status == "DONE") == may, (asked, answer)
        self.run(self._settled())

    @rule(
        user=USERS,
        amount=MILLIONTHS,
        told=st.lists(st.integers(0, 12), min_size=1, max_size=3),
        end=st.booleans(),
    )
    def deposit_seen(self, user, amount, told, end):
        name = f"seen-{self._key()}"
        about = user, amount, "eth", "USDC", "0x3"
        for confirmations in told:
            self.ask(DepositSeen(0, name, *about, confirmations))
        if end:
            self.ask(DepositRejected(0, name, "dropped"))
        self.ask(DepositArrived(0, name, *about, 12))

    @rule(user=USERS, thousandths=st.integers(-30_000_000, 3_000_000).filter(bool))
    def adjust_balance(self, user, thousandths):
        self.ask(
            BalanceAdjusted(0, "", user, D(thousandths) / 1_000, "a correction", "op", Approval(1, "boss"))
        )

    @rule(order=ORDERS, level=st.integers(1, 3))
    def degraded(self, order, level):
        """While the service is degraded users ask on; then it is restored."""
        self.ask(ServiceLevelSet(0, level, "op", "a drill"))
        self.ask(self.order_of(*order))
        answer = next(reversed(self.answers.values()))[1]
        assert level == 1 or answer.code == "SERVICE_LEVEL"
        self.ask(WithdrawalRequested(0, "", order[0], D(1), "eth", "USDC", "0xa"))
        answer = next(reversed(self.answers.values()))[1]
        assert (answer.code == "SERVICE_LEVEL") == (level == 3)
        self.ask(ServiceLevelSet(0, 0, "op", "over"))

    @rule(address=st.sampled_from(["0x1", "0x2"]), balance=st.integers(0, 200_000))
    def hot_wallet(self, address, balance):
        self.ask(HotWalletReported(0, "eth", address, D(balance)))

    # -- trading

    def order_of(self, user, symbol, side, lots, leverage, cross, **fields) -> OrderSubmitted:
        mode = MarginMode.CROSS if cross else MarginMode.ISOLATED
        size = COINS[symbol] * lots
        return OrderSubmitted(0, "", user, symbol, side, size, leverage=leverage, margin_mode=mode, **fields)

    @initialize(orders=st.lists(ORDERS, min_size=2, max_size=6))
    def some_positions(self, orders):
        self.burst(orders, 0, False)
        self.venue_answers(0, 8, False)

    @rule(orders=st.lists(ORDERS, min_size=1, max_size=5), twins=st.integers(0, 2), netted=st.booleans())
    def burst(self, orders, twins, netted):
        """Several clients at once, some of them asking twice."""
        commands = [Command(self._key(), self.order_of(*order, netted=netted)) for order in orders]
        self.run(self._at_once(commands + commands[:twins]))

    async def _at_once(self, commands: list[Command]) -> None:
        await asyncio.gather(*map(self._submit, commands))

    @rule(
        order=ORDERS,
        per_mille=st.sampled_from([-30, -5, 5, 30]),
        reduce_only=st.sampled_from([False, False, True]),
        netted=st.booleans(),
    )
    def limit(self, order, per_mille, reduce_only, netted):
        price = D(str(round(self.marks[order[1]] * (1 + per_mille / 1_000), 1)))
        fields = {"type": OrderType.LIMIT, "limit_price": price, "reduce_only": reduce_only, "netted": netted}
        self.ask(self.order_of(*order, **fields))

    def positions(self):
        return sorted(self.process.machine.book.positions.values(), key=lambda p: p.position_id)

    @precondition(lambda self: self.positions())
    @rule(
        data=st.data(), part=st.sampled_from([None, None, 1, 3]), stop=st.sampled_from([None, None, -20, 20])
    )
    def close(self, data, part, stop):
        position = data.draw(st.sampled_from(self.positions()))
        fields = {}
        if stop is not None:
            price = D(str(round(self.marks[position.symbol] * (1 + position.side * stop / 1_000), 1)))
            kind = OrderType.STOP_LOSS if stop < 0 else OrderType.TAKE_PROFIT
            fields = {"type": kind, "trigger_price": price}
        size = None if part is None else COINS[position.symbol] * part
        user, symbol, side = position.user, position.symbol, -position.side
        self.ask(OrderSubmitted(0, "", user, symbol, side, size, position_id=position.position_id, **fields))

    @precondition(lambda self: self.positions())
    @rule(data=st.data(), millions=st.integers(-3_000, 3_000).filter(bool))
    def adjust(self, data, millions):
        position = data.draw(st.sampled_from(self.positions()))
        self.ask(MarginAdjusted(0, position.user, position.position_id, D(millions) / 10))

    @rule(data=st.data())
    def cancel(self, data):
        waiting = sorted(self.process.machine.book._core.orders)
        if waiting:
            order_id = data.draw(st.sampled_from(waiting))
            self.ask(
                CancelSubmitted(0, order_id, self.process.machine.book._core.orders[order_id].command.user)
            )
        else:
            self.ask(CancelSubmitted(0, "o1", "ann"))

    # -- the market and the venue

    def _tick(self, symbol: str) -> None:
        mark = self.marks[symbol]
        self.process.quote(symbol, mark, mark, DEPTH, DEPTH)
        self.process.mark(symbol, mark)

    async def _move(self, symbol: str, per_mille: int) -> None:
        places = min(2, SPECS[symbol].price_decimals)
        self.marks[symbol] = round(self.marks[symbol] * (1 + per_mille / 1_000), places)
        self._tick(symbol)

    @rule(symbol=SYMBOLS, per_mille=st.integers(-60, 60))
    def mark(self, symbol, per_mille):
        self.run(self._move(symbol, per_mille))

    @rule(
        symbol=SYMBOLS,
        side=SIDES,
        steps=st.integers(2, 6),
        slip=st.integers(-8, 8),
        eighths=st.sampled_from([3, 8]),
    )
    def trend(self, symbol, side, steps, slip, eighths):
        """The market runs one way, and the venue answers what is sent."""
        for _ in range(steps):
            self.run(self._move(symbol, side * 30))
            self.venue_answers(slip, eighths, False)

    @rule(symbol=SYMBOLS, rate=st.integers(-300, 300))
    def funding(self, symbol, rate):
        self.run(self._funding(symbol, D(rate) / 10_000))

    async def _funding(self, symbol, rate):
        book, mark = self.process.machine.book, D(str(self.marks[symbol]))
        booked = {a: cents(-book.venue_position(a, symbol) * mark * rate) for a in HlAccount}
        self.process.tell(FundingPublished(0, symbol, rate, mark))
        for account, amount in booked.items():
            self.process.tell(FundingBooked(0, account, symbol, amount))

    @rule(slip=st.integers(-8, 8), eighths=st.sampled_from([0, 3, 8, 8]), refused=st.booleans())
    def venue_answers(self, slip, eighths, refused):
        """The venue fills a part of what it was sent, and ends it."""
        self.run(self._venue_answers(slip, eighths, refused))

    async def _venue_answers(self, slip, eighths, refused):
        await self._settled()
        for cloid, order in sorted(self.process.machine.book._core.venue_orders.items()):
            size = (order.left * eighths / 8).quantize(SPECS[order.symbol].lot)
            if size:
                price = order.mark * (1 + D(slip) / 1_000)
                fee = cents(price * size * D("0.00045"))
                self.process.tell(VenueFilled(0, cloid, price, min(size, order.left), fee))
            if not size or slip % 2:
                self.process.tell(VenueOrderEnded(0, cloid, refused and not size, "no"))

    # -- operators and time

    @rule(
        symbol=st.sampled_from([*sorted(SPECS), "*"]),
        auto=st.booleans(),
        partial=st.booleans(),
        split=st.booleans(),
    )
    def config(self, symbol, auto, partial, split):
        changes = {"partial_liquidation": partial, "split_at_threshold": split}
        risk = replace(OPTIONS.risk, partial_liquidation_above=D(8_000), **changes)
        row = RoutingConfig(normal_threshold=D(30_000), auto_switch_enabled=auto)
        self.ask(ConfigChanged(0, "op", symbol, row, risk))

    @rule(symbol=SYMBOLS, mode=st.sampled_from([None, *RoutingMode]))
    def pin(self, symbol, mode):
        self.ask(RoutingModeSet(0, symbol, mode, "op"))

    @rule(connected=st.sampled_from([True, True, False]), slow=st.booleans())
    def channel(self, connected, slow):
        self.run(self._tell(ChannelReported(0, connected, 600_000_000 if slow else 0)))

    async def _tell(self, given):
        self.process.tell(given)

    @rule(seconds=st.sampled_from([1, 5, 20, 100, 3_600]))
    def time(self, seconds):
        self.run(self._time(self.clock.now_ns() + seconds * SECOND_NS))

    async def _time(self, to_ns):
        """Let time pass; where an hour strikes the books reconcile, and find nothing."""
        await self._settled()
        strikes = to_ns // HOUR_NS > self.clock.now_ns() // HOUR_NS
        done = len(self.shadow.reconciled)
        await asyncio.sleep(0)  # the chores have heard of the clock
        self.clock.advance(to_ns)
        while strikes and len(self.shadow.reconciled) < done + 3:
            await asyncio.sleep(0.005)
            await self._settled()
        assert {each.status for each in self.shadow.reconciled[done:]} <= {"OK"}

    @rule()
    def release(self):
        self.ask(BooksReleased(0, "op", "to be sure"))
        assert next(reversed(self.answers.values()))[1].code == "already-so"

    @rule(which=st.integers(0, len(BAD) - 1))
    def bad_command(self, which):
        self.ask(BAD[which])
        assert next(reversed(self.answers.values()))[1].status != "DONE"

    # -- asking again

    @rule(data=st.data(), count=st.integers(1, 4))
    def ask_again(self, data, count):
        keys = st.sampled_from(sorted(self.answers))
        commands = [self.answers[data.draw(keys)][0] for _ in range(count)]
        self.run(self._at_once(commands))

    @rule(data=st.data())
    def reuse_a_key(self, data):
        key = data.draw(st.sampled_from(sorted(self.answers)))
        with pytest.raises(KeyReused):
            self.run(self.process.submit(Command(key, BooksReleased(0, "op", "another request"))))

    async def _same_answers(self) -> None:
        """Ask everything again: each gets the answer it got, and nothing happens."""
        seq = self.process.machine.seq
        for command, _ in list(self.answers.values()):
            await self._submit(command)
        assert self.process.machine.seq == seq
        for command in list(self.unknown.values()):
            await self._submit(command)
        assert not self.unknown
        await self._settled()
        assert set(self.shadow.accepted.values()) <= {1}
        await self._compare()

    # -- ends

    @rule(
        how=st.sampled_from(["dropped", "before the commit", "after the commit"]),
        orders=st.lists(ORDERS, min_size=0, max_size=4),
    )
    def crash(self, how, orders):
        commands = [Command(self._key(), self.order_of(*order)) for order in orders]
        self.run(self._crash(how, commands))

    async def _crash(self, how: str, commands: list[Command]) -> None:
        process = self.process
        if how != "dropped":
            process._commits.writer = FailingWriter(process._commits.writer, how == "after the commit")
        asking = [asyncio.create_task(self._submit(command)) for command in commands]
        await asyncio.sleep(0)
        if how == "dropped" or not commands:
            process._commits.writer.connection.terminate()
            process._answers.reader.terminate()
            self.process.tell(ChannelReported(0, True))  # so that there is something to fail at
        await asyncio.wait_for(process.ended.wait(), 60)
        await asyncio.wait_for(asyncio.gather(*asking), 60)
        with pytest.raises(DatabaseLost):
            await self.stack.aclose()
        await self._reopen()
        await self._at_once(commands)
        assert not self.unknown

    @rule()
    def restart(self):
        self.run(self._restart())

    async def _restart(self) -> None:
        self._note_sent()
        await self.stack.aclose()
        await self._reopen()

    async def _reopen(self) -> None:
        self._note_sent()
        await self._open()
        await self.shadow.follow(self.look)
        machine = self.process.machine
        assert (machine.seq, machine.link) == (self.shadow.seq, self.shadow.machine.link)
        assert machine.book.digest() == self.shadow.machine.book.digest()

    def _note_sent(self) -> None:
        for port in self.ports.values():
            self.sent |= {request.cloid for request in port.sent}

    # -- what must hold

    @invariant()
    def all_agree(self):
        self.run(self._all_agree())

    async def _all_agree(self) -> None:
        await self._settled()
        self._note_sent()
        naive = self.shadow.naive
        assert self.sent <= naive.at_venue.keys() | naive.ended.keys()  # nothing left before its commit
        assert self.process.machine.book.digest() == self.shadow.machine.book.digest()
        assert {row.cloid for row in self.process.in_flight()} == naive.at_venue.keys()
        await self._compare()

    async def _compare(self) -> None:
        naive, look = self.shadow.naive, self.look
        waiting = set(self.shadow.machine.book._core.orders)

        async def keyed(sql: str) -> dict[Any, Any]:
            rows = [tuple(row) for row in await look.fetch(sql)]
            return {key: rest[0] if len(rest) == 1 else tuple(rest) for key, *rest in rows}

        async def listed(sql: str) -> list[tuple[Any, ...]]:
            return [tuple(row) for row in await look.fetch(sql)]

        assert await keyed("select id, email, wallet_address, kyc_status from users") == naive.user_rows()
        assert (
            await keyed("""select user_id, total_balance, available_balance, frozen_margin, cash, order_holds,
                isolated_margin, withdrawals_pending from wallets""")
            == naive.wallet_rows()
        )
        assert (
            await keyed("select account, balance from house_accounts where balance <> 0")
            == naive.house_rows()
        )
        assert (
            await keyed("""select id, user_id, symbol, direction, size, cost, margin, leverage, margin_mode,
                position_source, status from positions""")
            == naive.position_rows()
        )
        assert await keyed("select id, status, filled_size from orders") == naive.order_rows(waiting)
        assert (
            await listed("select user_id, type, amount, before, after, ref_id from balance_logs order by id")
            == naive.log_rows()
        )
        assert (
            await listed("""select id, order_id, price, size, fee, source, hl_fill_price, position_id, user_id, pnl
                from fills order by id""")
            == naive.fill_rows()
        )
        assert (
            await listed("""select position_id, user_id, trigger_price, close_price, margin_zeroed, bad_debt
                from liquidations order by id""")
            == naive.liquidation_rows()
        )
        assert (
            await listed(
                "select position_id, payment, user_id, uncollected from funding_settlements order by id"
            )
            == naive.funding_rows()
        )
        assert await keyed("select cloid, account, size, status from venue_orders") == naive.venue_rows()
        assert await keyed("select id, user_id, amount, status from withdrawals") == naive.withdrawals
        assert (
            await keyed("select id, user_id, amount, status, confirmations from deposits") == naive.deposits
        )
        assert await keyed("select id, balance from hot_wallets") == naive.hot
        hedges = await keyed(
            "select symbol, direction, size, entry_price from hedge_positions where size > 0"
        )
        wanted = naive.hedge_rows()
        assert {s: row[:2] for s, row in hedges.items()} == {s: row[:2] for s, row in wanted.items()}
        for symbol, (_, size, cost) in wanted.items():
            assert cents(hedges[symbol][2] * size) == cents(cost)
        assert self.process.machine.halted is None
        await prove(look, self.shadow.machine)


def test_database_book_and_naive_ledger_agree_through_crashes(postgres):
    run_state_machine_as_test(
        lambda: BooksMachine(postgres),
        settings=hypothesis_settings(max_examples=12, stateful_step_count=25),
    )
