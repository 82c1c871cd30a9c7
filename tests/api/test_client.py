"""The client does what a trader needs, once, whatever connection breaks off, and says what was refused."""

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import httpx
import pyotp
import pytest

from live.client import (
    ApiProblem,
    HybridPerps,
    Marks,
    NoAnswer,
    SecondFactorNeeded,
    Stream,
    StreamClosed,
    Update,
)
from live.client.credentials import Session, Signer, Tokens
from tests.api.people import PASSWORD, token_for
from tests.api.served import BASE_URL, Api, over_http, served_api
from tests.api.traders import trader
from tests.proxy import Proxy, proxied

D = Decimal


def client_of(api: Api, **how) -> HybridPerps:
    """Give a client that calls the application without a network."""
    transport = httpx.ASGITransport(api.app, client=("127.0.0.1", 40_000))
    return HybridPerps(how.pop("base_url", BASE_URL), transport=how.pop("transport", transport), **how)


async def signed_client(api: Api, url: str = BASE_URL, **how) -> HybridPerps:
    """Give a client with money and an API key; over the network where ``url`` is given."""
    ann = await trader(api)
    answer = await ann.ask("POST", "/keys", {"name": "bot", "scopes": ["READ", "TRADE"]})
    made = answer.json()
    if url == BASE_URL:
        return client_of(api, key=made["id"], secret=made["secret"], **how)
    return HybridPerps(url, key=made["id"], secret=made["secret"], **how)


def test_a_newcomer_registers_takes_test_funds_and_trades(database: str) -> None:
    async def body() -> None:
        async with served_api(database, dev=True) as api, client_of(api) as ann:
            await ann.register("ann@example.org")
            made = await ann.verify_email(await token_for(api, "ann@example.org"), PASSWORD)
            await ann.log_in("ann@example.org", PASSWORD)
            assert (await ann.profile()).user == made.user
            assert (await ann.faucet("10000.5")).amount == D("10000.5")
            assert [each.amount async for each in ann.deposits()] == [D("10000.5")]
            btc = next(each for each in (await ann.markets()).symbols if each.symbol == "BTC")
            assert (btc, btc.mark) == (await ann.market("BTC"), D(100_000))
            seen = await ann.preview("BTC", "BUY", "0.05", leverage=10)
            placed = await ann.place("BTC", "BUY", "0.05", leverage=10)
            fill = placed.fills[0]
            assert (seen.accepted, seen.price, seen.size) == (True, fill.price, fill.size)
            assert (
                seen.fee >= fill.fee
            )  # a preview does not tell where the order will go, and what that costs
            account = await ann.account()
            assert account.positions[0].liquidation_price == seen.liquidation_price
            assert account.free == seen.free + seen.fee - fill.fee
            position = fill.position_id
            await ann.add_margin(position, D("12.5"))
            assert (await ann.position(position)).margin == D("512.5")
            await ann.remove_margin(position, "12.5")
            resting = await ann.place("BTC", "BUY", "0.01", type="LIMIT", limit_price=90_000, leverage=2)
            assert [each.order_id async for each in ann.orders(status=["RESTING"])] == [resting.order_id]
            await ann.cancel(resting.order_id)
            other = await ann.place("BTC", "BUY", "0.01", type="LIMIT", limit_price="90000", leverage=2)
            assert [each.done for each in (await ann.cancel_all("BTC")).orders] == [True]
            assert (await ann.order(other.order_id)).status == "CANCELLED"
            closed = await ann.close_position(position)
            assert (await ann.order(closed.order_id)).fills[0].action == "CLOSE"
            assert [each.status async for each in ann.positions()] == ["CLOSED"]
            changes = [each async for each in ann.balance_changes()]
            assert (await ann.balance()).total_balance == changes[0].after == sum(e.amount for e in changes)
            assert [each async for each in ann.funding()] == [each async for each in ann.liquidations()] == []
            await ann.log_out()
            with pytest.raises(ApiProblem) as told:
                await ann.account()
            assert (told.value.status, told.value.code) == (401, "not-authenticated")

    asyncio.run(body())


def test_a_second_factor_is_asked_for_and_a_device_may_be_trusted(database: str) -> None:
    async def body() -> None:
        async with served_api(database) as api, client_of(api) as ann:
            await ann.register("ann@example.org")
            await ann.verify_email(await token_for(api, "ann@example.org"), PASSWORD)
            await ann.log_in("ann@example.org", PASSWORD)
            totp = pyotp.TOTP((await ann.enrol_totp(PASSWORD)).secret)
            now = datetime.now(UTC)
            codes = (await ann.confirm_totp(totp.at(now - timedelta(seconds=30)))).codes
            async with client_of(api) as other:
                with pytest.raises(SecondFactorNeeded) as asked:
                    await other.log_in("ann@example.org", PASSWORD)
                with pytest.raises(ApiProblem) as told:
                    await other.give_second_factor(asked.value.challenge, "000000")
                assert told.value.code == "wrong-code"
                tokens = await other.give_second_factor(
                    asked.value.challenge, totp.at(now), trust_device_as="laptop"
                )
                await other.log_in("ann@example.org", PASSWORD, device_token=tokens.device_token)
                await other.log_in("ann@example.org", PASSWORD, codes[0])
                assert len(await other.sessions()) == 4
                await other.step_up(codes[1])
                made = await other.create_key("bot", ["READ"], code=codes[2])
                rotated = await other.rotate_key(made.id, code=codes[3])
                async with client_of(api, key=made.id, secret=made.secret) as late:
                    with pytest.raises(ApiProblem, match="wrong-signature"):
                        await late.account()
                async with client_of(api, key=made.id, secret=rotated.secret) as bot:
                    assert (await bot.account()).positions == ()
                    with pytest.raises(ApiProblem, match="scope-missing"):
                        await bot.place("BTC", "BUY", "0.01")
                    await other.revoke_key(made.id)
                    assert await other.keys() == []

    asyncio.run(body())


def test_tokens_are_renewed_once_for_all_who_ask_at_the_same_time(database: str) -> None:
    async def body() -> None:
        now_s = [0.0]
        async with served_api(database) as api, client_of(api) as ann:
            await ann.register("ann@example.org")
            await ann.verify_email(await token_for(api, "ann@example.org"), PASSWORD)
            tokens = await ann.log_in("ann@example.org", PASSWORD)
            ann.session = Session(tokens, lambda: now_s[0])
            now_s[0] = tokens.expires_in - 5.0
            await asyncio.gather(*(ann.profile() for _ in range(5)))
            assert ann.session.refresh_token != tokens.refresh_token
            assert len(await ann.sessions()) == 1  # a token that came twice would have ended it

    asyncio.run(body())


class Losing(httpx.AsyncBaseTransport):
    """Lose the first answers: the server has done what it was asked, and the client does not hear."""

    def __init__(self, inner: httpx.AsyncBaseTransport, losses: int) -> None:
        self.inner, self.losses, self.sent = inner, losses, 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.sent += 1
        answer = await self.inner.handle_async_request(request)
        if self.losses > 0:
            self.losses -= 1
            raise httpx.ReadError("the connection was lost", request=request)
        return answer


def test_a_command_whose_answer_is_lost_is_asked_again_and_done_once(database: str) -> None:
    async def body() -> None:
        async with served_api(database) as api:
            ann = await signed_client(api)
            lossy = Losing(httpx.ASGITransport(api.app, client=("127.0.0.1", 40_000)), 3)
            async with ann, await signed_client(api, transport=lossy) as bob:
                placed = await bob.place("BTC", "BUY", "0.01", leverage=10)
                assert lossy.sent == 4
                assert [each.order_id async for each in bob.orders()] == [placed.order_id]
                lossy.losses = 1
                await bob.close_position(placed.fills[0].position_id)
                lossy.losses = 2
                resting = await bob.place("BTC", "BUY", "0.01", type="LIMIT", limit_price="90000")
                lossy.losses = 2
                await bob.cancel(resting.order_id)
                assert [each.status async for each in bob.orders()] == ["CANCELLED", "FILLED", "FILLED"]

    asyncio.run(body())


def test_a_session_outlives_a_refresh_whose_answer_is_lost(database: str) -> None:
    async def body() -> None:
        async with served_api(database) as api:
            inner = httpx.ASGITransport(api.app, client=("127.0.0.1", 40_000))
            losing = Losing(inner, 0)
            async with client_of(api, transport=losing) as ann:
                await ann.register("ann@example.org")
                await ann.verify_email(await token_for(api, "ann@example.org"), PASSWORD)
                await ann.log_in("ann@example.org", PASSWORD)
                losing.losses = 2
                await ann.renew_session()
                await ann.renew_session()
                assert (losing.losses, len(await ann.sessions())) == (0, 1)

    asyncio.run(body())


def test_over_a_network_that_breaks_off_nothing_is_done_twice(database: str) -> None:
    async def body() -> None:
        async with (
            served_api(database) as api,
            over_http(api) as url,
            proxied(url) as proxy,
            await signed_client(api, proxy.url) as ann,
        ):
            for number in range(8):
                proxy.losing = number % 3
                await ann.place("BTC", "BUY", "0.01", leverage=10)
            assert proxy.lost == 7
            assert len([each async for each in ann.orders()]) == 8
            assert len([each async for each in ann.fills()]) == 8
            assert len([each async for each in ann.fills(limit=3)]) == 3

    asyncio.run(body())


def test_without_an_answer_it_says_so_and_names_the_key(database: str) -> None:
    async def body() -> None:
        async with served_api(database) as api:
            lossy = Losing(httpx.ASGITransport(api.app, client=("127.0.0.1", 40_000)), 1_000)
            async with await signed_client(api, transport=lossy, patience_s=0.2) as ann:
                with pytest.raises(NoAnswer, match="key='mine'") as told:
                    await ann.place("BTC", "BUY", "0.01", leverage=10, key="mine")
                assert told.value.key == "mine"
                lossy.losses = 0
                again = await ann.place("BTC", "BUY", "0.01", leverage=10, key="mine")
                assert [each.order_id async for each in ann.orders()] == [again.order_id]
                lossy.losses = 1
                with pytest.raises(NoAnswer):  # a log-in is nothing to ask twice
                    await ann.log_in("ann@example.org", PASSWORD)
                assert lossy.losses == 0

    asyncio.run(body())


def test_what_is_refused_is_told_in_the_server_s_words(database: str) -> None:
    async def body() -> None:
        async with served_api(database) as api, await signed_client(api) as ann:
            with pytest.raises(ApiProblem) as told:
                await ann.place("BTC", "BUY", "90", leverage=10)
            assert (told.value.status, told.value.code) == (409, "INSUFFICIENT_MARGIN")
            with pytest.raises(ApiProblem) as told:
                await ann.place("BTC", "BUY", "-1")
            assert (told.value.status, told.value.errors[0].field) == (422, "body.size")
            assert told.value.request_id
            with pytest.raises(ApiProblem, match="404 unknown-order"):
                await ann.cancel("o999999")
            with pytest.raises(TypeError, match="float"):
                await ann.place("BTC", "BUY", 0.1)  # type: ignore[arg-type]
            with pytest.raises(ValueError, match="secret"):
                HybridPerps(BASE_URL, key="k")

    asyncio.run(body())


def test_what_is_no_answer_of_the_api_is_a_problem_too() -> None:
    async def body() -> None:
        for answer in (httpx.Response(502, text="<html>bad gateway"), httpx.Response(200, text="{}")):
            transport = httpx.MockTransport(lambda _, answer=answer: answer)
            async with HybridPerps(BASE_URL, transport=transport) as ann:
                with pytest.raises(ApiProblem) as told:
                    await ann.balance()
                assert (told.value.status, told.value.code) == (answer.status_code, "unreadable")

    asyncio.run(body())


def test_signatures_differ_though_the_clock_stands_still() -> None:
    signer = Signer("k", "secret", lambda: 5_000_000_000)
    assert [signer.sign("GET", "/v1/orders")[0] for _ in range(3)] == ["5000", "5001", "5002"]


def test_a_token_is_changed_before_its_end_however_short_it_lives() -> None:
    now = [0.0]
    for lives, stale_at in ((300, 280.0), (10, 5.0)):
        now[0] = 0.0
        session = Session(Tokens("a", "r", lives, "s"), lambda: now[0])
        now[0] = stale_at - 0.1
        assert not session.is_stale
        now[0] = stale_at
        assert session.is_stale


async def ended(stream: Stream) -> None:
    """Listen until nothing more is told."""
    async for _ in stream:
        pass


async def heard(stream: Stream, wanted: int) -> list[Update]:
    """Listen until so many orders were told of."""
    found: list[Update] = []
    async with asyncio.timeout(60):
        while sum(len(update.orders) for update in found) < wanted:
            message = await anext(stream)
            assert isinstance(message, Update)
            found.append(message)
    return found


def test_a_stream_that_breaks_off_goes_on_where_it_was(database: str) -> None:
    async def body() -> None:
        async with (
            served_api(database) as api,
            over_http(api) as url,
            proxied(url) as proxy,
            await signed_client(api, url) as ann,
            listening(ann, proxy) as of_proxy,
        ):
            async with of_proxy.stream("orders", "fills", "balances") as stream:
                seqs, orders = [], []
                for round_ in range(4):
                    for _ in range(3):
                        await ann.place("BTC", "BUY", "0.01", leverage=10)
                        if round_ == 2:
                            proxy.cut()
                    updates = await heard(stream, 3)
                    proxy.cut()
                    seqs += [update.seq for update in updates]
                    orders += [order.order_id for update in updates for order in update.orders]
                assert seqs == sorted(set(seqs))
                assert orders == [each.order_id async for each in ann.orders()][::-1]
                assert stream.connections >= 4
                last = stream.seq
            await ann.place("BTC", "SELL", "0.01", leverage=10)
            async with of_proxy.stream("fills", "orders", after=last) as stream:
                assert (await heard(stream, 1))[0].fills[0].side == "SELL"

    asyncio.run(body())


def listening(ann: HybridPerps, proxy: Proxy) -> HybridPerps:
    """Give a client of the same key, behind the proxy."""
    assert ann.signer is not None
    return HybridPerps(proxy.url, key=ann.signer.key, secret=ann.signer._secret.decode())


def test_a_session_listens_too_and_ends_with_its_stream(database: str) -> None:
    async def body() -> None:
        async with served_api(database) as api, over_http(api) as url, HybridPerps(url) as ann:
            await ann.register("ann@example.org")
            await ann.verify_email(await token_for(api, "ann@example.org"), PASSWORD)
            await ann.log_in("ann@example.org", PASSWORD)
            async with ann.stream("marks", "orders") as stream:
                api.market.move("BTC", 100_500.0)
                async with asyncio.timeout(60):
                    async for message in stream:
                        if isinstance(message, Marks) and message.marks["BTC"].mark == D(100_500):
                            break
                assert ann.session is not None
                await api.client.post(
                    "/v1/auth/logout", headers={"Authorization": f"Bearer {ann.session.access_token}"}
                )
                with pytest.raises(StreamClosed, match="4401"):
                    await asyncio.wait_for(ended(stream), 60)
            stranger = HybridPerps(url, key="k" + 20 * "a", secret=43 * "b")
            with pytest.raises(StreamClosed, match="4401"):
                await stranger.stream("orders").__aenter__()

    asyncio.run(body())
