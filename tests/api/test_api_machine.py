"""Random histories of several users over HTTP: what each is shown is what a naive ledger says, to the last digit."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import httpx
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from live.client import ApiProblem, HybridPerps
from live.client.credentials import Tokens
from live.identity.principal import Role
from live.ledger.inputs import (
    DepositArrived,
    WithdrawalApproved,
    WithdrawalProcessed,
    WithdrawalQueued,
    WithdrawalSending,
)
from risk.inputs import FundingPublished, VenueFilled, VenueOrderEnded
from tests.api.access_site import Later
from tests.api.operators import operator
from tests.api.people import Person, sign_up, token_for
from tests.api.served import BASE_URL, Api, served_api
from tests.api.test_client import Losing
from tests.api.traders import ORIGIN, Trader
from tests.live.test_books_machine import OPTIONS, Shadow
from tests.postgres import Postgres
from tests.risk.book_builder import MARKS, SPECS, D
from tests.risk.oracle_holdings import cents
from tests.risk.test_book_machine import COINS

NO_LIMITS = {f"rate_limit_{kind}": "1000000/second" for kind in ("address", "user", "key", "login")}
NAMES = ("ann", "bob", "cyd")
USERS = st.sampled_from(NAMES)
SYMBOLS = st.sampled_from(sorted(SPECS))
SIDES = st.sampled_from(["BUY", "SELL"])
MILLIONTHS = st.integers(1, 5_000_000_000).map(lambda n: D(n) / 1_000_000)
LOSSES = st.sampled_from([0, 0, 0, 1, 2])
A_DAY_S, A_CODE_S = 86_401, 61  # an address is locked for the one; in the other comes another code
ADDRESS = "0x" + 40 * "1"
REFUSED = (401, 404, 409, 422, 429)
NEXT_STEP = {"UNCONFIRMED": "confirm", "REVIEW": "approve", "SENDING": "sent"}
WAITING = ("PENDING", "RESTING", "PARTIALLY_FILLED")

OF_INTEREST = {
    "CLOSED",
    "LIQUIDATED",
    "correction EXECUTED",
    "invalid",
    "withdrawal REFUSED",
    "withdrawal SENT",
}


class Site:
    """Serve the API, and follow its books; the next history goes on where the last ended, with other users."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self.runner = asyncio.Runner()
        self.clock = Later()
        self.serving = served_api(dsn, options=OPTIONS, dev=True, settings=NO_LIMITS, clock=self.clock)
        self.shadow = Shadow()
        self.keys = itertools.count()
        self.seen: set[str] = set()  # what came of it all: so that the histories are of some interest
        self.run(self._open())

    def run[T](self, work: Any) -> T:
        return self.runner.run(work)

    async def _open(self) -> None:
        self.api: Api = await self.serving.__aenter__()
        self.look = await asyncpg.connect(self.dsn)
        self.clerk = await operator(self.api, Role.OPERATIONS)
        self.manager = await operator(self.api, Role.RISK_MANAGER)

    def close(self) -> None:
        self.run(self.look.close())
        self.run(self.serving.__aexit__(None, None, None))
        self.runner.close()

    async def settled(self) -> None:
        """Wait until all that was handled is committed, and follow the journal."""
        machine, writer = self.api.process.machine, self.api.process._commits.writer
        while self.shadow.seq != machine.seq or machine.batch.size:
            while machine.seq != writer.seq or machine.batch.size:
                await asyncio.sleep(0)
            await self.shadow.follow(self.look)

    async def acting(self, who: Trader) -> Trader:
        """Log an operator in again: a session is short where days pass."""
        tokens, _ = await self.api.services.identity.sessions.begin(
            who.user, "PASSWORD", ORIGIN, second_factor=True
        )
        return Trader(self.api, who.user, tokens.access_token, tokens.session)


class ApiMachine(RuleBasedStateMachine):
    """Let users ask over a network that loses answers; the market, the venue and the chain do as they please."""

    def __init__(self, site: Site) -> None:
        super().__init__()
        self.site = site
        self.api = site.api
        self.run = site.run
        self.marks = {symbol: float(mark) for symbol, mark in MARKS.items()}
        self.run(self._begin())

    async def _begin(self) -> None:
        for symbol, mark in self.marks.items():
            self.api.market.move(symbol, mark)
        self.people: dict[str, Person] = {}
        self.clients: dict[str, HybridPerps] = {}
        self.networks: dict[str, Losing] = {}
        self.addresses: dict[str, int] = {}
        for name in NAMES:
            await self._join(name)
        self.site.clock.advance(A_DAY_S)

    async def _join(self, name: str) -> None:
        person = self.people[name] = await sign_up(self.api, totp=True)
        self.site.clock.advance(A_CODE_S)
        network = self.networks[name] = Losing(
            httpx.ASGITransport(self.api.app, client=("127.0.0.1", 40_000)), 0
        )
        client = self.clients[name] = HybridPerps(BASE_URL, transport=network)
        client.use(Tokens(person.access, person.refresh, 300, person.session))
        self.addresses[name] = (
            await client.add_address("arbitrum", ADDRESS, "home", person.code())
        ).address_id

    def teardown(self) -> None:
        self.wind_up()
        self.run(self._end())

    def wind_up(self) -> None:
        """Have of everything a little: send what may be sent, let the market fall by a fifth, close what is left."""
        self.wrong_order(NAMES[0], "BTC", "0")
        self.operators_correct_a_balance(NAMES[0], 250_001)
        self.withdraw(NAMES[0], 10_000_001, False, 0)
        for client in self.clients.values():
            for moved in self.read(client.withdrawals()):
                if moved.status not in ("UNCONFIRMED", "SENT", "REFUSED"):
                    for step in ("approve", "send", "sent"):
                        self.chain_goes_on(step, moved.withdrawal_id)
            newest = self.read(client.withdrawals(limit=1))
            if newest and newest[0].status == "UNCONFIRMED":
                number = newest[0].withdrawal_id
                self.run(client.cancel_withdrawal(number))
        for symbol in sorted(SPECS):
            self.fall(symbol)
        for name in NAMES:
            for position in self.open_of(name):
                number = position.position_id
                self.ask(name, 1, lambda client, key, number=number: client.close_position(number, key=key))
        self.venue_answers(8)

    def fall(self, symbol: str) -> None:
        for _ in range(5):
            self.run(self._move(symbol, -40))
            self.venue_answers(8)

    # -- asking

    def ask(self, name: str, losses: int, act: Callable[[HybridPerps, str], Awaitable[Any]]) -> Any:
        """Ask for something twice with one key, with answers lost: it is done once, and answered the same."""
        return self.run(self._ask(name, losses, act))

    async def _ask(self, name: str, losses: int, act: Callable[[HybridPerps, str], Awaitable[Any]]) -> Any:
        key = f"key-{next(self.site.keys)}"
        told = []
        for lost in (losses, 0):
            self.networks[name].losses = lost
            try:
                told.append(await act(self.clients[name], key))
            except ApiProblem as problem:
                if problem.status not in REFUSED:
                    raise
                told.append((problem.status, problem.code))
                self.site.seen.add(problem.code)
        assert told[0] == told[1]
        return None if isinstance(told[0], tuple) else told[0]

    def read(self, items: Any) -> list[Any]:
        async def all_of_it() -> list[Any]:
            return [item async for item in items]

        return self.run(all_of_it())

    # -- money

    @initialize(
        amounts=st.lists(st.integers(1_000, 90_000), min_size=3, max_size=3),
        orders=st.lists(
            st.tuples(USERS, SYMBOLS, SIDES, st.integers(5, 60), st.booleans()), min_size=3, max_size=5
        ),
    )
    def begin_with_money_and_positions(self, amounts, orders):
        for name, amount in zip(NAMES, amounts, strict=True):
            self.ask(name, 1, lambda client, key, amount=amount: client.faucet(amount, key=key))
        for name, symbol, side, lots, cross in orders:
            self.market_order(name, symbol, side, lots, 10, cross, 0)
        self.venue_answers(8)
        self.withdraw(orders[0][0], 25_000_001, True, 1)

    @rule(name=USERS, amount=MILLIONTHS, losses=LOSSES)
    def faucet(self, name, amount, losses):
        self.ask(name, losses, lambda client, key: client.faucet(amount, key=key))

    @rule(name=USERS, amount=MILLIONTHS)
    def deposit(self, name, amount):
        """The chain tells of money, twice."""
        name_of = f"deposit-{next(self.site.keys)}"
        given = DepositArrived(0, name_of, self.people[name].user, amount, "eth", "USDC", "0x2", 12)
        for _ in range(2):
            assert self.run(self.api.ask(name_of, given)).status == "DONE"

    @rule(
        name=USERS,
        millionths=st.integers(10_000_000, 15_000_000_000),
        confirmed=st.booleans(),
        losses=LOSSES,
    )
    def withdraw(self, name, millionths, confirmed, losses):
        self.site.clock.advance(A_CODE_S)
        code, to, amount = self.people[name].code(), self.addresses[name], D(millionths) / 1_000_000
        asked = self.ask(name, losses, lambda client, key: client.withdraw(amount, to, code, key=key))
        if asked is not None and confirmed:
            self.confirm(name, asked.withdrawal_id, losses)

    def confirm(self, name: str, number: str, losses: int) -> None:
        """Confirm the last withdrawal with the token that was mailed; of an earlier one it is refused."""
        token = self.run(token_for(self.api, self.people[name].email))
        self.ask(name, losses, lambda client, key: client.confirm_withdrawal(number, token))

    @rule(name=USERS, data=st.data(), losses=LOSSES)
    def withdrawals_go_on(self, name, data, losses):
        waiting = self.read(self.clients[name].withdrawals())
        waiting = [each for each in waiting if each.status not in ("SENT", "REFUSED")]
        if not waiting:
            return
        chosen = data.draw(st.sampled_from(waiting))
        steps = [
            "cancel",
            {"UNCONFIRMED": "confirm", "REVIEW": "approve", "SENDING": "sent"}.get(chosen.status, "send"),
        ]
        step = data.draw(st.sampled_from(steps))
        self.site.seen.add(f"withdrawal {step}")
        number = chosen.withdrawal_id
        if step == "cancel":
            self.ask(name, losses, lambda client, key: client.cancel_withdrawal(number, key=key))
        elif step == "confirm":
            self.confirm(name, number, losses)
        else:
            self.chain_goes_on(step, number)

    def chain_goes_on(self, step: str, number: str) -> None:
        """Do what operators and the chain's port would."""
        asked = {
            "approve": [
                WithdrawalApproved(0, number, "op", "RISK_MANAGER"),
                WithdrawalApproved(0, number, "boss", "OPERATIONS"),
            ],
            "send": [WithdrawalQueued(0, number, "the hot wallet is short"), WithdrawalSending(0, number)],
            "sent": [WithdrawalProcessed(0, number, True, f"0x{number}")],
        }[step]
        for each in asked:
            self.run(self.api.ask(f"chain-{next(self.site.keys)}", each))

    @rule(name=USERS, thousandths=st.integers(-30_000_000, 3_000_000).filter(bool))
    def operators_correct_a_balance(self, name, thousandths):
        """One proposes over HTTP, another approves; who proposed may not."""
        self.run(self._correct(self.people[name].user, str(D(thousandths) / 1_000)))

    async def _correct(self, user: str, amount: str) -> None:
        clerk, manager = await self.site.acting(self.site.clerk), await self.site.acting(self.site.manager)
        body = {"amount": amount, "reason": "a correction"}
        proposed = await clerk.ask("POST", f"/operator/users/{user}/adjustments", body)
        assert proposed.status_code == 202, proposed.text
        path = f"/operator/proposals/{proposed.json()['proposal']['id']}/approve"
        assert (await clerk.ask("POST", path, {"reason": "my own"})).status_code == 403
        approved = await manager.ask("POST", path, {"reason": "right"})
        assert approved.status_code == 200, approved.text
        self.site.seen.add(f"correction {approved.json()['status']}")

    # -- trading

    @rule(
        name=USERS,
        symbol=SYMBOLS,
        side=SIDES,
        lots=st.integers(1, 60),
        leverage=st.sampled_from([1, 3, 5, 10]),
        cross=st.booleans(),
        losses=LOSSES,
    )
    def market_order(self, name, symbol, side, lots, leverage, cross, losses):
        size, mode = COINS[symbol] * lots, "CROSS" if cross else "ISOLATED"
        self.ask(
            name,
            losses,
            lambda client, key: client.place(
                symbol, side, size, leverage=leverage, margin_mode=mode, key=key
            ),
        )

    @rule(
        name=USERS,
        symbol=SYMBOLS,
        side=SIDES,
        lots=st.integers(1, 60),
        per_mille=st.sampled_from([-30, -5, 5, 30]),
        reduce_only=st.sampled_from([False, False, True]),
        losses=LOSSES,
    )
    def limit_order(self, name, symbol, side, lots, per_mille, reduce_only, losses):
        price = D(str(round(self.marks[symbol] * (1 + per_mille / 1_000), 1)))
        self.ask(
            name,
            losses,
            lambda client, key: client.place(
                symbol,
                side,
                COINS[symbol] * lots,
                type="LIMIT",
                limit_price=price,
                leverage=5,
                reduce_only=reduce_only,
                key=key,
            ),
        )

    @rule(name=USERS, symbol=SYMBOLS, size=st.sampled_from(["0", "-1", "0.0000001", "1e3", "9000000"]))
    def wrong_order(self, name, symbol, size):
        """What cannot be is refused, and changes nothing."""
        assert self.ask(name, 0, lambda client, key: client.place(symbol, "BUY", size, key=key)) is None

    def open_of(self, name: str) -> list[Any]:
        return self.read(self.clients[name].positions(status="OPEN"))

    @rule(
        name=USERS,
        data=st.data(),
        part=st.sampled_from([None, None, 1, 3]),
        stop=st.sampled_from([None, None, -20, 20]),
        losses=LOSSES,
    )
    def close(self, name, data, part, stop, losses):
        positions = self.open_of(name)
        if not positions:
            return
        position = data.draw(st.sampled_from(positions))
        size = None if part is None else COINS[position.symbol] * part
        number, side = position.position_id, "SELL" if position.direction == "LONG" else "BUY"
        if stop is None:
            self.ask(name, losses, lambda client, key: client.close_position(number, size, key=key))
            return
        away = stop if position.direction == "LONG" else -stop
        price = D(str(round(self.marks[position.symbol] * (1 + away / 1_000), 1)))
        kind = "STOP_LOSS" if stop < 0 else "TAKE_PROFIT"
        self.ask(
            name,
            losses,
            lambda client, key: client.place(
                position.symbol, side, size, type=kind, trigger_price=price, position_id=number, key=key
            ),
        )

    @rule(
        name=USERS,
        other=USERS,
        data=st.data(),
        millions=st.integers(-3_000, 3_000).filter(bool),
        losses=LOSSES,
    )
    def margin(self, name, other, data, millions, losses):
        """Move a position's margin: one's own, or, in vain, another's."""
        positions = self.open_of(name)
        if not positions:
            return
        number = data.draw(st.sampled_from(positions)).position_id
        amount = abs(D(millions) / 10)

        def move(client: HybridPerps, key: str) -> Awaitable[Any]:
            acting = client.add_margin if millions > 0 else client.remove_margin
            return acting(number, amount, key=key)

        moved = self.ask(other, losses, move)
        assert moved is None or name == other

    @rule(name=USERS, other=USERS, data=st.data(), all_of_them=st.booleans(), losses=LOSSES)
    def cancel(self, name, other, data, all_of_them, losses):
        waiting = self.read(self.clients[name].orders(status=WAITING))
        if not waiting:
            return
        if all_of_them:
            self.ask(name, losses, lambda client, key: client.cancel_all(key=key))
            return
        order_id = data.draw(st.sampled_from(waiting)).order_id
        done = self.ask(other, losses, lambda client, key: client.cancel(order_id, key=key))
        assert done is None or name == other

    # -- the market and the venue

    async def _move(self, symbol: str, per_mille: int) -> None:
        places = min(2, SPECS[symbol].price_decimals)
        self.marks[symbol] = round(self.marks[symbol] * (1 + per_mille / 1_000), places)
        self.api.market.move(symbol, self.marks[symbol])

    @rule(symbol=SYMBOLS, up=st.booleans(), steps=st.integers(2, 5))
    def trend(self, symbol, up, steps):
        """The market runs one way, and the venue answers what is sent."""
        for _ in range(steps):
            self.run(self._move(symbol, 40 if up else -40))
            self.venue_answers(8)

    @rule(symbol=SYMBOLS, rate=st.integers(-300, 300))
    def funding(self, symbol, rate):
        self.run(self._funding(symbol, D(rate) / 10_000))

    async def _funding(self, symbol, rate):
        self.api.process.tell(FundingPublished(0, symbol, rate, D(str(self.marks[symbol]))))

    @rule(eighths=st.sampled_from([0, 3, 8]))
    def venue_answers(self, eighths):
        self.run(self._venue_answers(eighths))

    async def _venue_answers(self, eighths):
        await self.site.settled()
        process = self.api.process
        for cloid, order in sorted(process.machine.book._core.venue_orders.items()):
            size = (order.left * eighths / 8).quantize(SPECS[order.symbol].lot)
            if size:
                fee = cents(order.mark * size * D("0.00045"))
                process.tell(VenueFilled(0, cloid, order.mark, min(size, order.left), fee))
            process.tell(VenueOrderEnded(0, cloid, not size, "no"))

    # -- what must hold

    @invariant()
    def balances_are_the_naive_ones(self):
        self.run(self._compare_balances())

    async def _compare_balances(self) -> None:
        await self.site.settled()
        wanted = self.site.shadow.naive.wallet_rows()
        for name, client in self.clients.items():
            shown = await client.balance()
            row = wanted[self.people[name].user]
            assert (
                shown.total_balance,
                shown.available_balance,
                shown.frozen_margin,
                shown.cash,
                shown.order_holds,
                shown.isolated_margin,
                shown.withdrawals_pending,
            ) == row, name

    async def _end(self) -> None:
        await self._compare_balances()
        naive = self.site.shadow.naive
        waiting = set(self.api.process.machine.book._core.orders)
        orders, fills, logs = naive.order_rows(waiting), naive.fill_rows(), naive.log_rows()
        positions, deposits = naive.position_rows(), naive.deposits
        for name, client in self.clients.items():
            user = self.people[name].user
            async with client:
                mine = {each.order_id: (each.status, each.filled_size) async for each in client.orders()}
                assert mine == {key: orders[key] for key, order in naive.orders.items() if order.user == user}
                shown = [
                    (
                        each.fill_id,
                        each.price,
                        each.size,
                        each.fee,
                        each.source,
                        each.hl_reference_price,
                        each.pnl,
                    )
                    async for each in client.fills()
                ]
                wanted = [(f[0], f[2], f[3], f[4], f[5].value, f[6], f[9]) for f in fills if f[8] == user]
                assert shown[::-1] == wanted
                changes = [
                    (each.type, each.amount, each.before, each.after)
                    async for each in client.balance_changes()
                ]
                assert changes[::-1] == [log[1:5] for log in logs if log[0] == user]
                held = {
                    each.position_id: (each.direction, each.size, each.cost, each.margin, each.status)
                    async for each in client.positions()
                }
                assert held == {
                    key: (row[2], row[3], row[4], row[5], row[9])
                    for key, row in positions.items()
                    if row[0] == user
                }
                self.site.seen |= {status for *_, status in held.values()}
                moves = {each.withdrawal_id: each.status async for each in client.withdrawals()}
                assert moves == {key: row[2] for key, row in naive.withdrawals.items() if row[0] == user}
                self.site.seen |= {f"withdrawal {status}" for status in moves.values()}
                came = {each.deposit_id: (each.amount, each.status) async for each in client.deposits()}
                assert came == {key: row[1:3] for key, row in deposits.items() if row[0] == user}
                account = await client.account()
                row = naive.wallet_rows()[user]
                assert (account.total_balance, account.cash, account.order_holds) == (row[0], row[3], row[4])


def test_what_users_are_shown_is_what_a_naive_ledger_says(postgres: Postgres, migrated: str) -> None:
    site = Site(postgres.new_database("api_machine", migrated))
    try:
        run_state_machine_as_test(
            lambda: ApiMachine(site), settings=hypothesis_settings(max_examples=5, stateful_step_count=20)
        )
        assert site.seen >= OF_INTEREST
    finally:
        site.close()
