"""Everything the projections know besides the book: with it a machine is put down and taken up again."""

from dataclasses import dataclass, field

from live.ledger.project_house import HouseState
from live.ledger.project_money import MoneyState
from live.ledger.project_trading import TradingState
from live.ledger.project_users import UsersState
from live.ledger.project_wallets import WalletsState
from live.ledger.project_withdrawals import WithdrawalsState


@dataclass(slots=True)
class States:
    """Hold the state of each projection."""

    money: MoneyState = field(default_factory=MoneyState)
    trading: TradingState = field(default_factory=TradingState)
    house: HouseState = field(default_factory=HouseState)
    users: UsersState = field(default_factory=UsersState)
    wallets: WalletsState = field(default_factory=WalletsState)
    withdrawals: WithdrawalsState = field(default_factory=WithdrawalsState)
