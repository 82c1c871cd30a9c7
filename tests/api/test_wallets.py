"""Wallets over HTTP: who may, what is shown, and that a request is done once."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from live.api.reads.transfers import withdrawal_with_states
from live.ledger.inputs import DepositArrived, DepositSeen, HotWalletReported, WithdrawalRefused
from tests.api.people import Person, letters, sign_up, token_for
from tests.api.served import Api, served_api
from tests.api.traders import trader
from tests.risk.book_builder import D

ADDRESS = "0x52908400098527886E0F7030069857D2E4169EE7"
HOT = "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359"


def with_ann(dsn: str, body: Callable[[Api, Person], Awaitable[None]], **enrolled: bool) -> None:
    """Run ``body`` with somebody who has an authenticator, 1 000 USDC, and an address that can be used."""

    async def run() -> None:
        async with served_api(dsn) as api:
            ann = await sign_up(api)
            await ann.enrol(**enrolled)
            deposit = DepositArrived(0, "d1", ann.user, D(1_000), "arbitrum", "USDC", "0x1", 20)
            assert (await api.ask("d1", deposit)).status == "DONE"
            await api.ask("hot", HotWalletReported(0, "arbitrum", HOT, D(500_000)))
            await body(api, ann)

    asyncio.run(run())


async def book(api: Api, ann: Person, address: str = ADDRESS, code: str | None = None) -> Any:
    body = {"chain": "arbitrum", "address": address, "label": "home", "code": code or ann.codes.pop()}
    return await ann.post("/v1/addresses", body)


async def usable(api: Api, ann: Person) -> int:
    """Add an address, past its lock."""
    await api.services.pool.execute(
        """insert into access.address_book (account_id, chain, address, label, created_at, usable_at)
        values ($1, 'arbitrum', $2, 'home', now() - interval '2 days', now() - interval '1 day')""",
        *(ann.user, ADDRESS),
    )
    return (await ann.get("/v1/addresses")).json()[0]["address_id"]


async def withdraw(ann: Person, to: int, key: str = "k1", **more: Any) -> Any:
    body = {"amount": "100.5", "address_id": to, **more}
    body.setdefault("code", ann.codes[-1])
    return await ann.post("/v1/withdrawals", body, headers={"Idempotency-Key": key})


def test_a_withdrawal_from_its_request_to_its_cancel(database: str) -> None:
    async def body(api: Api, ann: Person) -> None:
        to = await usable(api, ann)
        asked = await withdraw(ann, to)
        assert asked.status_code == 201, asked.text
        item = asked.json()
        assert (item["status"], item["amount"], item["fee"]) == ("UNCONFIRMED", "100.500000", "1.000000")
        again = await withdraw(ann, to)  # the code is used up, but it is the same request
        assert (again.status_code, again.json()) == (201, item)
        wallet = (await ann.get("/v1/wallet")).json()
        assert (wallet["cash"], wallet["withdrawals_pending"]) == ("898.500000", "100.500000")
        path = f"/v1/withdrawals/{item['withdrawal_id']}"
        wrong = await ann.post(f"{path}/confirm", {"token": 43 * "x"})
        assert (wrong.status_code, wrong.json()["code"]) == (401, "wrong-token")
        assert [each["field"] for each in wrong.json()["errors"]] == ["body.token"]
        confirmed = await ann.post(f"{path}/confirm", {"token": await token_for(api, ann.email)})
        assert (confirmed.status_code, confirmed.json()["status"]) == (200, "APPROVED"), confirmed.text
        cancelled = await ann.post(f"{path}/cancel", headers={"Idempotency-Key": "k2"})
        assert (cancelled.json()["status"], cancelled.json()["reason"]) == ("REFUSED", "CANCELLED_BY_USER")
        late = await ann.post(f"{path}/cancel", headers={"Idempotency-Key": "k3"})
        assert (late.status_code, late.json()["code"]) == (409, "withdrawal-status")
        assert late.json()["detail"] == "the withdrawal is REFUSED; it can be cancelled no more"
        listed = (await ann.get("/v1/withdrawals?status=REFUSED")).json()
        shown = cancelled.json()
        del shown["states"]  # which are not in lists
        assert listed == {"items": [shown], "next": None}
        history = (await ann.get("/v1/balance-changes")).json()["items"]
        assert sum(D(each["amount"]) for each in history) == 1_000
        assert [
            (each["type"], each["amount"]) for each in history if each["ref"] == item["withdrawal_id"]
        ] == [
            ("withdrawal_fee_returned", "1.000000"),
            ("withdrawal_refused", "100.500000"),
            ("withdrawal_fee", "-1.000000"),
            ("withdrawal_requested", "-100.500000"),
        ]
        last = (await ann.get(path)).json()
        assert [state["status"] for state in last["states"]] == ["UNCONFIRMED", "APPROVED", "REFUSED"]
        assert [last["states"][place]["at"] for place in (0, -1)] == [
            last["created_at"],
            last["processed_at"],
        ]
        del last["states"]
        for subject, wanted in (
            ("withdrawals", [last]),
            ("deposits", (await ann.get("/v1/deposits")).json()["items"]),
        ):
            exported = await ann.get(f"/v1/exports/{subject}?format=jsonl")
            assert [json.loads(line) for line in exported.text.splitlines()] == wanted

    with_ann(database, body)


def test_a_withdrawal_and_its_states_are_of_one_moment(database: str) -> None:
    async def body(api: Api, ann: Person) -> None:
        asked = (await withdraw(ann, await usable(api, ann))).json()["withdrawal_id"]
        fetchrow, pool = api.services.pool.fetchrow, api.services.pool

        class Meanwhile:  # it is cancelled as soon as it was read
            fetchval = pool.fetchval

            async def fetchrow(self, *query: Any) -> Any:
                row = await fetchrow(*query)
                await api.ask("cancel", WithdrawalRefused(0, asked, ann.user, "CANCELLED_BY_USER"))
                return row

        for status in ("UNCONFIRMED", "REFUSED"):
            found = await withdrawal_with_states(Meanwhile(), ann.user, asked)
            assert found is not None
            assert (found["status"], found["states"][-1]["status"]) == (status, status)

    with_ann(database, body)


@pytest.mark.parametrize("recovery", [False, True])
def test_a_withdrawal_sent_many_times_at_once_is_one_with_one_answer_and_one_letter(
    database: str, recovery: bool
) -> None:
    async def body(api: Api, ann: Person) -> None:
        to = await usable(api, ann)
        code = ann.codes[-1] if recovery else ann.code()
        answers = await asyncio.gather(*(withdraw(ann, to, code=code) for _ in range(8)))
        assert [each.status_code for each in answers] == [201] * 8, [each.text for each in answers]
        assert len({each.text for each in answers}) == 1
        assert (await ann.get("/v1/wallet")).json()["cash"] == "898.500000"
        sent = await letters(api, ann.email)
        assert [subject for subject, _ in sent].count("Confirm your withdrawal") == 1
        events = (await ann.get("/v1/account/security-events")).json()["items"]
        kinds = [each["kind"] for each in events]
        assert (kinds.count("WRONG_CODE"), kinds.count("RECOVERY_CODE_USED")) == (0, int(recovery))
        # The code is good for that alone.
        for key, change in (("k2", {}), ("k1", {"amount": "100.6"}), ("k3", {"amount": "100.6"})):
            other = await withdraw(ann, to, key, code=code, **change)
            assert other.json()["code"] == ("key-reused" if key == "k1" else "used-code"), other.text

    with_ann(database, body, give=False)


def test_a_withdrawal_needs_a_code_that_was_not_used(database: str) -> None:
    async def body(api: Api, ann: Person) -> None:
        to = await usable(api, ann)
        used = ann.codes.pop()
        assert (await book(api, ann, HOT.lower().replace("f", "e"), used)).status_code == 201
        for code, why in ((used, "used-code"), ("000000", "wrong-code")):
            answer = await withdraw(ann, to, code=code)
            assert (answer.status_code, answer.json()["code"]) == (401, why), answer.text
            assert answer.json()["errors"][0]["field"] == "body.code"
        without = await ann.post(
            "/v1/withdrawals", {"amount": "100", "address_id": to}, headers={"Idempotency-Key": "k"}
        )
        assert (without.status_code, without.json()["errors"][0]["field"]) == (422, "body.code")
        assert (await ann.get("/v1/wallet")).json()["cash"] == "1000.000000"

    with_ann(database, body)


def test_a_key_made_without_an_authenticator_withdraws_nothing_without_code_and_letter(database: str) -> None:
    async def run() -> None:
        async with served_api(database) as api:
            ann = await sign_up(api)
            deposit = DepositArrived(0, "d1", ann.user, D(1_000), "arbitrum", "USDC", "0x1", 20)
            assert (await api.ask("d1", deposit)).status == "DONE"
            await api.ask("hot", HotWalletReported(0, "arbitrum", HOT, D(500_000)))
            to = await usable(api, ann)
            key = await ann.key("READ", "WITHDRAW", networks=["127.0.0.0/16"])

            async def by_key(path: str, body: dict[str, Any], once: str) -> Any:
                content = json.dumps(body).encode()
                return await key.send("POST", path, content, **{"Idempotency-Key": once})

            wish = {"amount": "100", "address_id": to}
            without = await by_key("/v1/withdrawals", wish | {"code": "123456"}, "k1")
            assert (without.status_code, without.json()["code"]) == (403, "second-factor-needed")
            assert (await ann.get("/v1/withdrawals")).json()["items"] == []
            await ann.enrol()
            for once, code, status, why in (
                ("k2", {}, 422, "invalid"),
                ("k3", {"code": "000000"}, 401, "wrong-code"),
                ("k4", {"code": ann.code()}, 401, "used-code"),
            ):
                refused = await by_key("/v1/withdrawals", wish | code, once)
                assert (refused.status_code, refused.json()["code"]) == (status, why), refused.text
            assert (await ann.get("/v1/wallet")).json()["cash"] == "1000.000000"
            asked = await by_key("/v1/withdrawals", wish | {"code": ann.codes[0]}, "k5")
            assert (asked.status_code, asked.json()["status"]) == (201, "UNCONFIRMED"), asked.text
            path = f"/v1/withdrawals/{asked.json()['withdrawal_id']}/confirm"
            unread = await by_key(path, {"token": 43 * "x"}, "k6")
            assert (unread.status_code, unread.json()["code"]) == (401, "wrong-token")
            done = await by_key(path, {"token": await token_for(api, ann.email)}, "k7")
            assert (done.status_code, done.json()["status"]) == (200, "APPROVED"), done.text
            body = {"chain": "arbitrum", "address": HOT, "label": "mine", "code": ann.codes[1]}
            booked = await by_key("/v1/addresses", body, "k8")
            assert (booked.status_code, booked.json()["code"]) == (403, "scope-missing")

    asyncio.run(run())


_CANNOT: tuple[tuple[dict[str, Any], int, str], ...] = (
    ({"amount": "9.99"}, 422, "invalid"),
    ({"amount": "0"}, 422, "invalid"),
    ({"amount": 100}, 422, "invalid"),
    ({"amount": "100.0000001"}, 422, "invalid"),
    ({"amount": "NaN"}, 422, "invalid"),
    ({"asset": "WBTC"}, 422, "invalid"),
    ({"address_id": 4711}, 404, "unknown-address"),
    ({"address_id": 2**63}, 422, "invalid"),
    ({"nonsense": 1}, 422, "invalid"),
    ({"amount": "1000"}, 409, "WITHDRAWAL_EXCEEDS_FREE"),  # the only one that needs a code
)


def test_what_cannot_be_withdrawn(database: str) -> None:
    async def body(api: Api, ann: Person) -> None:
        to = await usable(api, ann)
        for number, (change, status, code) in enumerate(_CANNOT):
            answer = await withdraw(ann, to, f"k{number}", **change)
            assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
        assert (await ann.get("/v1/wallet")).json()["cash"] == "1000.000000"

    with_ann(database, body)


def test_a_new_address_is_locked_told_of_and_can_be_removed(database: str) -> None:
    async def body(api: Api, ann: Person) -> None:
        added = await book(api, ann, ADDRESS.lower())
        assert (added.status_code, added.json()["address"]) == (201, ADDRESS)
        assert any(ADDRESS in text for _, text in await letters(api, ann.email))
        locked = await withdraw(ann, added.json()["address_id"])
        assert (locked.status_code, locked.json()["code"]) == (409, "address-locked")
        for address, status in (("0x12", 422), (ADDRESS.replace("E", "e", 1), 422), (HOT, 409)):
            assert (await book(api, ann, address)).status_code == status
        body = {"chain": "arbitrum", "address": ADDRESS, "label": "office", "code": ann.codes[0]}
        known = await ann.post("/v1/addresses", body)
        assert (known.status_code, known.json()["code"]) == (409, "address-known")
        path = f"/v1/addresses/{added.json()['address_id']}"
        assert [(await ann.delete(path)).status_code for _ in range(2)] == [204, 404]
        events = (await ann.get("/v1/account/security-events")).json()["items"]
        kinds = [each["kind"] for each in events]
        assert kinds[:3] == [
            "ADDRESS_REMOVED",
            "ADDRESS_ADDED",
            "RECOVERY_CODE_USED",
        ]  # the others cost no code

    with_ann(database, body)


def test_deposits_are_shown_as_they_come(database: str) -> None:
    async def body(api: Api, ann: Person) -> None:
        seen = DepositSeen(0, "d2", ann.user, D(7), "arbitrum", "USDC", "0x2", 3)
        await api.ask("d2", seen)
        listed = (await ann.get("/v1/deposits?limit=1")).json()
        assert [(each["deposit_id"], each["status"], each["amount"]) for each in listed["items"]] == [
            ("d2", "PENDING", "7.000000")
        ]
        rest = (await ann.get(f"/v1/deposits?before={listed['next']}")).json()
        assert [each["status"] for each in rest["items"]] == ["CREDITED"]
        chains = (await ann.get("/v1/chains")).json()
        assert {"chain": "arbitrum", "asset": "USDC", "minimum": "10", "fee": "1"}.items() <= chains[
            0
        ].items()

    with_ann(database, body)


def test_another_s_withdrawals_and_addresses_are_not_there(database: str) -> None:
    async def body(api: Api, ann: Person) -> None:
        to = await usable(api, ann)
        name = (await withdraw(ann, to)).json()["withdrawal_id"]
        token = await token_for(api, ann.email)
        bob = await trader(api)
        for method, path, body in (
            ("GET", f"/withdrawals/{name}", None),
            ("POST", f"/withdrawals/{name}/confirm", {"token": token}),
            ("POST", f"/withdrawals/{name}/cancel", None),
            ("DELETE", f"/addresses/{to}", None),
        ):
            answer = await bob.ask(method, path, body)
            assert answer.status_code == 404, (path, answer.text)
        for path in ("/withdrawals", "/addresses"):
            assert (await bob.get(path)) in ([], {"items": [], "next": None})
        assert (await ann.get(f"/v1/withdrawals/{name}")).json()["status"] == "UNCONFIRMED"

    with_ann(database, body)
