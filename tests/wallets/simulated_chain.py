"""A chain for tests: it pays each id once, whatever it is asked, and breaks off where a test wants it to."""

from dataclasses import replace
from decimal import Decimal

from live.wallets.chain import ArrivedTransfer, HotWallet, SendOutcome, SendState, Transfer

HOT = "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359"


class Crash(Exception):
    """Be the power cut."""


class SimulatedChain:
    """Hold one hot wallet a chain; what it has paid is in ``paid``, in order."""

    def __init__(self, **balances: Decimal) -> None:
        self.balances = balances
        self.outcomes: dict[str, SendOutcome] = {}
        self.asked: list[str] = []
        self.paid: list[Transfer] = []
        self.transfers: dict[str, ArrivedTransfer] = {}
        self.crash_before = self.crash_after = self.slow = False
        self.refuses: SendOutcome | None = None

    async def hot_wallets(self) -> list[HotWallet]:
        return [HotWallet(chain, HOT, balance) for chain, balance in self.balances.items()]

    async def send(self, transfer: Transfer) -> None:
        self.asked.append(transfer.withdrawal_id)
        if self.crash_before:
            raise Crash
        known = self.outcomes.get(transfer.withdrawal_id)
        if known is None or known.state is SendState.FAILED:
            self._take(transfer)
        if self.crash_after:
            raise Crash

    def _take(self, transfer: Transfer) -> None:
        if self.refuses is not None:
            self.outcomes[transfer.withdrawal_id] = self.refuses
            return
        self.paid.append(transfer)
        self.balances[transfer.chain] -= transfer.amount
        state = SendState.PENDING if self.slow else SendState.SENT
        self.outcomes[transfer.withdrawal_id] = SendOutcome(state, f"0x{len(self.paid):064x}")

    def mine(self) -> None:
        """Let everything under way be on the chain."""
        for name, outcome in self.outcomes.items():
            if outcome.state is SendState.PENDING:
                self.outcomes[name] = replace(outcome, state=SendState.SENT)

    async def find(self, withdrawal_id: str) -> SendOutcome | None:
        return self.outcomes.get(withdrawal_id)

    async def arrived(self) -> list[ArrivedTransfer]:
        return list(self.transfers.values())
