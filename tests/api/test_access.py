"""Registering, logging in, and looking after an account, over HTTP."""

import asyncio

from .people import sign_up
from .served import served_api


def test_somebody_registers_logs_in_and_is_known(database):
    async def scenario():
        async with served_api(database) as api:
            ann = await sign_up(api, "Ann@Example.org".lower(), totp=True)
            answer = await ann.get("/v1/account/profile")
            assert answer.status_code == 200
            assert answer.json() | {"created_at": ""} == {
                "user": ann.user,
                "email": "ann@example.org",
                "wallet_address": None,
                "has_password": True,
                "has_totp": True,
                "kyc_status": "NONE",
                "role": None,
                "created_at": "",
            }
            assert (await ann.get("/v1/account/sessions")).json()[0]["current"]
            key = await ann.key(code=ann.codes[0])
            answer = await key.send("GET", "/v1/account/profile")
            assert (answer.status_code, answer.json()["code"]) == (403, "scope-missing")

    asyncio.run(scenario())
