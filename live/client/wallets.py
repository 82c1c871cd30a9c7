"""Money: the balance, deposits, withdrawals, the address book, and test funds in development."""

from collections.abc import AsyncIterator
from typing import Literal

from live.client.access_results import Address, Chain, Deposit, TestFunds, Withdrawal
from live.client.calls import Calls
from live.client.results import Balance
from live.client.trading import Number, number_text


class Wallets(Calls):
    """Move money in and out; ``code`` is the authenticator's."""

    async def balance(self) -> Balance:
        """Return the balance, free of marks."""
        return await self._get(Balance, "/wallet")

    async def chains(self) -> list[Chain]:
        """Return where money can go, and what that costs."""
        return await self._get(list[Chain], "/chains")

    def deposits(
        self, *, status: Literal["PENDING", "CREDITED", "REJECTED"] | None = None, limit: int | None = None
    ) -> AsyncIterator[Deposit]:
        """Give deposits, the newest first."""
        return self._pages(Deposit, "/deposits", limit, status=status)

    def withdrawals(
        self, *, status: str | None = None, limit: int | None = None
    ) -> AsyncIterator[Withdrawal]:
        """Give withdrawals, the newest first."""
        return self._pages(Withdrawal, "/withdrawals", limit, status=status)

    async def withdrawal(self, withdrawal_id: str) -> Withdrawal:
        """Return a withdrawal."""
        return await self._get(Withdrawal, f"/withdrawals/{withdrawal_id}")

    async def withdraw(
        self, amount: Number, address_id: int, code: str, *, asset: str = "USDC", key: str | None = None
    ) -> Withdrawal:
        """Ask for a withdrawal: the money is held, and a token mailed that ``confirm_withdrawal`` takes."""
        body = {"amount": number_text(amount), "address_id": address_id, "asset": asset, "code": code}
        return await self._command(Withdrawal, "POST", "/withdrawals", body, key)

    async def confirm_withdrawal(self, withdrawal_id: str, token: str) -> Withdrawal:
        """Confirm a withdrawal with the mailed token; to repeat it changes nothing."""
        return await self._command(
            Withdrawal, "POST", f"/withdrawals/{withdrawal_id}/confirm", {"token": token}
        )

    async def cancel_withdrawal(self, withdrawal_id: str, *, key: str | None = None) -> Withdrawal:
        """Cancel a withdrawal that is not being sent."""
        return await self._command(Withdrawal, "POST", f"/withdrawals/{withdrawal_id}/cancel", key=key)

    async def addresses(self) -> list[Address]:
        """Return the address book, the oldest first."""
        return await self._get(list[Address], "/addresses")

    async def add_address(self, chain: str, address: str, label: str, code: str) -> Address:
        """Add an address; withdrawals may go there a day later."""
        body = {"chain": chain, "address": address, "label": label, "code": code}
        return await self._ask(Address, "POST", "/addresses", body)

    async def remove_address(self, address_id: int) -> None:
        """Remove an address; added again it waits again."""
        await self._tell("DELETE", f"/addresses/{address_id}")

    async def faucet(self, amount: Number, *, key: str | None = None) -> TestFunds:
        """Get test funds, where the server gives them away."""
        return await self._command(TestFunds, "POST", "/dev/faucet", {"amount": number_text(amount)}, key)

    async def move_market(self, symbol: str, percent: Number) -> None:
        """Lift a symbol's prices by so much, or lower them, where the server's market is synthetic."""
        await self._tell("POST", "/dev/market", {"symbol": symbol, "percent": number_text(percent)})
