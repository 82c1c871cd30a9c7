"""A slow and obvious second book: every balance worked out again from what was filled, paid and moved.

It trusts the book for *what* was traded (fills, settlements, moves of margin) and for nothing about money: each
amount is derived anew from rulebook §2–§7 in plain Decimal, without indexes, caches or running sums of a symbol.
"""

from collections import defaultdict
from decimal import Decimal

from risk.events import (
    Event,
    FillAction,
    FundingAccrued,
    FundingSettled,
    MarginChanged,
    OrderFilled,
    OrderRefused,
    PositionOpened,
    Source,
    Transferred,
)
from risk.house_events import GuardChanged, VenueOrderRequested
from risk.inputs import (
    BalanceAdjusted,
    ChannelReported,
    DepositCredited,
    FundingBooked,
    HlAccount,
    Input,
    MarginMode,
    MarketUpdated,
    OrderSubmitted,
    VenueFilled,
    VenueOrderEnded,
    WithdrawalEnded,
    WithdrawalSubmitted,
)
from risk.market import SymbolSpec
from risk.settings import RiskConfig
from tests.risk.oracle_holdings import ZERO, Account, Holding, Margins, Venue, cents
from tests.risk.oracle_liquidation import LIQUIDATION, NaiveLiquidations


class NaiveBooks:
    """Follow a book input by input; ``expected`` gives what its balances must be."""

    def __init__(self, risk: RiskConfig, specs: dict[str, SymbolSpec]) -> None:
        self.risk = risk
        self.margins = Margins(specs)
        self.users: defaultdict[str, Account] = defaultdict(Account)
        self.holdings: dict[int, Holding] = {}
        self.liquidations = NaiveLiquidations(risk, self.margins, self.users, self.holdings)
        self.house: defaultdict[str, Decimal] = defaultdict(Decimal)
        self.pending: defaultdict[str, Decimal] = defaultdict(Decimal)
        self.venue_fee = (ZERO, ZERO)  # size and fee of the fill in hand not yet given to a position
        self.withdrawals: dict[str, tuple[str, Decimal, Decimal]] = {}
        self.volatile: set[str] = set()
        self.sent: dict[str, VenueOrderRequested] = {}
        self.first_parts: set[str] = set()  # liquidations of less than the whole position
        self.hedges: defaultdict[str, list[Decimal]] = defaultdict(lambda: [ZERO, ZERO])  # size, signed cost
        self.venues: dict[HlAccount, Venue] = {account: Venue() for account in HlAccount}
        risk_accounts = {
            "custody": -risk.platform_capital - risk.reserve_capital,
            "platform_capital": risk.platform_capital,
            "risk_reserve": risk.reserve_capital,
            "hl_trading": -risk.trading_account_capital,
            "hl_hedge": -risk.hedge_account_capital,
            "hl_capital": risk.trading_account_capital + risk.hedge_account_capital,
        }
        self.house.update(risk_accounts)
        self.venues[HlAccount.TRADING].cash = risk.trading_account_capital
        self.venues[HlAccount.HEDGE].cash = risk.hedge_account_capital

    # -- following

    def take(self, given: Input, events: tuple[Event, ...], marks: dict[str, Decimal]) -> None:
        """Apply an input and what the book said followed from it; ``marks`` are the valid ones since the input."""
        self.liquidations.marks = marks
        refused = {e.order_id for e in events if isinstance(e, OrderRefused)}
        self._take_input(given, refused)
        if isinstance(given, MarketUpdated):
            self.liquidations.look()
        opened = {e.position_id: e for e in events if isinstance(e, PositionOpened)}
        for event in events:
            self._take_event(given, event, opened)
        self.liquidations.settle(given.ts)

    def _take_input(self, given: Input, refused: set[str]) -> None:
        if isinstance(given, DepositCredited):
            self.house["custody"] -= given.amount
            self.users[given.user].wallet += given.amount
        elif isinstance(given, WithdrawalSubmitted) and given.withdrawal_id not in refused:
            self.users[given.user].wallet -= given.amount + given.fee
            self.house["fee_income"] += given.fee
            self.pending[given.user] += given.amount
            self.withdrawals[given.withdrawal_id] = (given.user, given.amount, given.fee)
        elif isinstance(given, WithdrawalEnded):
            user, amount, fee = self.withdrawals.pop(given.withdrawal_id)
            self.pending[user] -= amount
            if given.sent:
                self.house["custody"] += amount
            else:
                self.users[user].wallet += amount + fee
                self.house["fee_income"] -= fee
        elif isinstance(given, BalanceAdjusted) and given.adjustment_id not in refused:
            self.users[given.user].wallet += given.amount
            self.house["platform_capital"] -= given.amount
        elif isinstance(given, OrderSubmitted):
            self.liquidations.commands[given.order_id] = given
        elif isinstance(given, ChannelReported):
            self.liquidations.connected = given.connected
        elif isinstance(given, VenueFilled):
            self._take_venue_fill(given)
        elif isinstance(given, VenueOrderEnded):
            self.liquidations.order_ended(self.sent[given.cloid])
        elif isinstance(given, FundingBooked):
            self.venues[given.account].cash += given.amount
            if given.account is HlAccount.HEDGE:
                self._move("hl_hedge", "hedge_cost", given.amount)

    def _take_venue_fill(self, fill: VenueFilled) -> None:
        order = self.sent[fill.cloid]
        self.venue_fee = fill.size, fill.fee
        self.venues[order.account].trade(order.symbol, order.side * fill.size, fill.price, fill.fee)
        if order.account is HlAccount.TRADING:
            return
        slippage = cents(order.side * (fill.price - order.mark) * fill.size)
        self._move("hedge_cost", "hl_hedge", fill.fee + slippage)
        held = self.hedges[order.symbol]
        closes = min(abs(held[0]), fill.size) if held[0] * order.side < 0 else ZERO
        if closes:
            cost = held[1] if closes == abs(held[0]) else cents(held[1] * closes / abs(held[0]))
            self._move("hl_hedge", "platform_profit", cents(-order.side * closes * order.mark - cost))
            held[1] -= cost
        held[0] += order.side * fill.size
        held[1] += order.side * (fill.size - closes) * order.mark

    def _take_event(self, given: Input, event: Event, opened: dict[int, PositionOpened]) -> None:
        if isinstance(event, OrderFilled):
            holding = self.holdings.get(event.position_id)
            if event.action is FillAction.OPEN:
                self._open(given, event, opened[event.position_id])
            elif holding is not None and holding.source is Source.INTERNAL:
                self._close_inside(event, holding)
            elif holding is not None and isinstance(given, VenueFilled):
                self.liquidations.filled(given.cloid, event)
                self._close_outside(given, event, holding)
        elif isinstance(event, FundingAccrued):
            for holding in self.holdings.values():
                if holding.symbol == event.symbol:
                    holding.unpaid += (event.rate * event.oracle).quantize(Decimal("1e-18"))
        elif isinstance(event, FundingSettled):
            self._settle(event)
        elif isinstance(event, MarginChanged):
            self.users[event.user].wallet -= event.amount
            self.holdings[event.position_id].margin += event.amount
        elif isinstance(event, VenueOrderRequested):
            self.sent[event.cloid] = event
            self.liquidations.sent(event)
            if event.order_id.startswith(LIQUIDATION):
                holding = self.holdings[int(event.order_id.removeprefix(LIQUIDATION))]
                if event.size < holding.size:
                    self.first_parts.add(event.cloid)
        elif isinstance(event, GuardChanged) and event.guard == "PRICE_RANGE":
            (self.volatile.add if event.state == "OPEN" else self.volatile.discard)(event.symbol)
        elif isinstance(event, Transferred) and event.kind in ("top_up", "funding_difference"):
            for account, amount in event.entries:  # decided by figures of the market, not by a trade
                self.house[account] += amount
                if event.kind == "top_up" and account in ("hl_trading", "hl_hedge"):
                    self.venues[
                        HlAccount.TRADING if account == "hl_trading" else HlAccount.HEDGE
                    ].cash -= amount

    def _move(self, source: str, target: str, amount: Decimal) -> None:
        self.house[source] -= amount
        self.house[target] += amount

    # -- trades

    def _open(self, given: Input, fill: OrderFilled, opened: PositionOpened) -> None:
        account = self.users[fill.user]
        isolated = opened.margin_mode is MarginMode.ISOLATED
        holding = self.holdings.setdefault(
            fill.position_id,
            Holding(fill.user, fill.symbol, fill.side, fill.source, isolated, opened.leverage),
        )
        notional = fill.price * fill.size
        if fill.source is Source.INTERNAL:
            fee = cents(notional * self._rate(fill))
            self._pay(account, "fee_income", fee)
        else:
            assert isinstance(given, VenueFilled)
            builder = cents(notional * self.risk.builder_fee_rate)
            self._pay(account, "hl_trading", given.fee)
            self._pay(account, "builder_income", builder)
            fee = given.fee + builder
        assert fill.fee == fee
        holding.size += fill.size
        holding.cost += notional
        if isolated:
            margin = cents(notional / opened.leverage)
            if fill.source is Source.HYPERLIQUID and not self.liquidations.crosses(fill.user):
                margin = min(margin, max(ZERO, account.wallet))
            account.wallet -= margin
            holding.margin += margin
        if fill.source is Source.HYPERLIQUID:
            self._forgive(fill.user, Source.HYPERLIQUID)

    def _rate(self, fill: OrderFilled) -> Decimal:
        risk = self.risk
        if fill.symbol in self.volatile:
            return risk.volatile_maker_fee_rate if fill.maker else risk.volatile_taker_fee_rate
        return risk.maker_fee_rate if fill.maker else risk.taker_fee_rate

    def _pay(self, account: Account, to: str, amount: Decimal) -> None:
        account.wallet -= amount
        self.house[to] += amount

    def _share(self, holding: Holding, size: Decimal) -> tuple[Decimal, Decimal]:
        if size == holding.size:
            return holding.cost, holding.margin
        return cents(holding.cost * size / holding.size), cents(holding.margin * size / holding.size)

    def _close_inside(self, fill: OrderFilled, holding: Holding) -> None:
        account = self.users[holding.user]
        whole = fill.size == holding.size
        cost, margin = self._share(holding, fill.size)
        pnl = cents(holding.side * (fill.price * fill.size - cost))
        fee = cents(fill.price * fill.size * self._rate(fill))
        liquidated = fill.action is FillAction.LIQUIDATION
        if liquidated:
            self.liquidations.begun(fill.position_id)
            fee = ZERO
        if not holding.isolated:
            account.wallet += pnl
        elif liquidated:
            pnl = -holding.margin if whole else max(pnl, -holding.margin)
            holding.margin += pnl
        else:
            pnl = max(pnl, -holding.margin)
            out = max(margin, -pnl)
            fee = min(fee, out + pnl)
            holding.margin -= out
            account.wallet += out + pnl
        self._pay(account, "fee_income", fee)
        self._share_loss(pnl)
        assert (fill.pnl, fill.fee) == (pnl, fee)
        self._reduce(fill, holding, cost, pnl)

    def _share_loss(self, pnl: Decimal) -> None:
        platform = cents(-pnl * self.risk.platform_loss_share) if pnl < 0 else -pnl
        self.house["platform_profit"] += platform
        self.house["risk_reserve"] += -pnl - platform

    def _close_outside(self, given: VenueFilled, fill: OrderFilled, holding: Holding) -> None:
        account, fee = self.users[holding.user], self._fee_of(fill.size)
        cost, margin = self._share(holding, fill.size)
        pnl = cents(holding.side * (fill.price * fill.size - cost))
        liquidated = fill.action is FillAction.LIQUIDATION
        builder = ZERO if liquidated else cents(fill.price * fill.size * self.risk.builder_fee_rate)
        result = pnl - fee
        self.house["hl_trading"] -= result
        if not holding.isolated:
            account.wallet += result
        else:
            first_part = liquidated and given.cloid in self.first_parts
            out = max(ZERO, -result) if first_part else max(margin, -result)
            out = min(out, holding.margin)
            left = out + result
            if left < 0:
                self._bad_debt(-left, None)  # hl_trading has the whole result already
                left = ZERO
            builder = min(builder, left)
            holding.margin -= out
            if first_part:
                holding.margin += left
            elif liquidated:
                self.house["risk_reserve"] += left
            else:
                account.wallet += left
        self._pay(account, "builder_income", builder)
        assert (fill.pnl, fill.fee) == (pnl, fee + builder)
        self._reduce(fill, holding, cost, pnl)

    def _fee_of(self, size: Decimal) -> Decimal:
        """Share Hyperliquid's fee of one fill over the positions it closed, the last taking the rest."""
        left, fee = self.venue_fee
        share = fee if size == left else cents(fee * size / left)
        self.venue_fee = left - size, fee - share
        return share

    def _reduce(self, fill: OrderFilled, holding: Holding, cost: Decimal, pnl: Decimal) -> None:
        holding.size -= fill.size
        holding.cost -= cost
        if not holding.size:
            assert holding.margin == 0
            del self.holdings[fill.position_id]
        if not holding.isolated:
            if pnl < 0:
                self.users[holding.user].losses.append((holding.source, -pnl))
            self._forgive(holding.user, holding.source)

    # -- deficits, funding

    def _forgive(self, user: str, source: Source) -> None:
        account = self.users[user]
        if self.liquidations.crosses(user):
            return
        losses, account.losses, account.liquidating = account.losses, [], False
        deficit = -account.wallet
        if deficit <= 0:
            return
        total = sum((loss for _, loss in losses), ZERO)
        inside = sum((loss for where, loss in losses if where is Source.INTERNAL), ZERO)
        if not total:
            total, inside = Decimal(1), Decimal(source is Source.INTERNAL)
        share = deficit if inside == total else cents(deficit * inside / total)
        platform = cents(share * self.risk.platform_loss_share)
        self.house["platform_profit"] -= platform
        self.house["risk_reserve"] -= share - platform
        account.wallet += share
        if deficit - share:
            self._bad_debt(deficit - share, None)
            account.wallet += deficit - share

    def _bad_debt(self, amount: Decimal, to: str | None) -> None:
        reserve = min(amount, max(ZERO, self.house["risk_reserve"]))
        self.house["risk_reserve"] -= reserve
        self.house["platform_capital"] -= amount - reserve
        if to is not None:
            self.house[to] += amount

    def _settle(self, event: FundingSettled) -> None:
        holding = self.holdings[event.position_id]
        owed = cents(holding.side * holding.size * holding.unpaid)
        holding.unpaid = ZERO
        paid = min(owed, holding.margin) if holding.isolated else owed
        assert (event.payment, event.uncollected) == (paid, owed - paid)
        outside = holding.source is Source.HYPERLIQUID
        self.house["hl_trading" if outside else "funding_income"] += paid
        if outside and owed > paid:
            self._bad_debt(owed - paid, "hl_trading")
        if holding.isolated:
            holding.margin -= paid
        else:
            self.users[holding.user].wallet -= paid

    # -- what must be

    def expected(self) -> dict[str, Decimal]:
        """Return every balance that is not zero; a user's cash and holds as one, ``wallet:NAME``."""
        found = dict(self.house)
        found |= {f"wallet:{name}": account.wallet for name, account in self.users.items()}
        found |= {f"withdrawals_pending:{name}": amount for name, amount in self.pending.items()}
        found |= {f"isolated_margin:{i}": h.margin for i, h in self.holdings.items() if h.isolated}
        return {name: amount for name, amount in found.items() if amount}

    def under_water(self) -> tuple[set[int], set[str]]:
        """Scan all at the last marks: isolated positions and users' cross accounts with equity ≤ maintenance (§4)."""
        positions = {
            i
            for i, h in self.holdings.items()
            if h.isolated and self.margins.isolated_under_water(h, self.liquidations.marks)
        }
        return positions, {name for name in self.users if self.liquidations.under_water(name)}
