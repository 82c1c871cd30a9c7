"""Every number of the rulebook with its default: ``RoutingConfig`` per symbol, ``RiskConfig`` for the house.

Rates and shares are fractions, money is USDC, times are nanoseconds. Section numbers refer to the rulebook.
"""

from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

SECOND_NS = 1_000_000_000
MINUTE_NS = 60 * SECOND_NS
HOUR_NS = 60 * MINUTE_NS
DAY_NS = 24 * HOUR_NS


def _d(text: str) -> Decimal:
    return Decimal(text)


class RoutingMode(StrEnum):
    """Name the three routing modes of a symbol (§1)."""

    HL_MODE = "HL_MODE"
    NORMAL_MODE = "NORMAL_MODE"
    BETTING_MODE = "BETTING_MODE"


@dataclass(frozen=True, slots=True)
class RoutingConfig:
    """Hold one row of ``routing_config`` (§1)."""

    routing_mode: RoutingMode = RoutingMode.NORMAL_MODE
    normal_threshold: Decimal = _d("10000")
    betting_threshold: Decimal = _d("50000")
    hl_mode_exposure_threshold: Decimal = _d("800000")
    betting_mode_exposure_threshold: Decimal = _d("50000")
    auto_switch_enabled: bool = False
    internal_whitelisted: bool = True


@dataclass(frozen=True, slots=True)
class HedgeTier:
    """Hedge ``ratio`` of a net exposure from ``lower`` on (§6)."""

    lower: Decimal
    ratio: Decimal


@dataclass(frozen=True, slots=True)
class LeverageStep:
    """Hedge at ``leverage`` while the total hedge notional is at most ``upto`` (None: no bound) (§6)."""

    upto: Decimal | None
    leverage: int


@dataclass(frozen=True, slots=True)
class RiskConfig:
    """Hold ``risk_config``: the house's limits, fees, hedging rules and starting capital."""

    # §1 forced reasons, channel, auto-switch
    symbol_exposure_cap: Decimal = _d("1000000")
    total_exposure_cap: Decimal = _d("5000000")
    price_range_limit: Decimal = _d("0.05")
    price_range_release: Decimal = _d("0.03")
    max_round_trip_ns: int = 500_000_000
    max_channel_silence_ns: int = 5 * SECOND_NS
    unreachable_after_ns: int = 60 * SECOND_NS
    hl_mode_release: Decimal = _d("500000")
    betting_mode_release_factor: Decimal = _d("1.2")
    hl_min_notional: Decimal = _d("10")
    split_at_threshold: bool = False
    # §2 internal execution
    taker_fee_rate: Decimal = _d("0.0005")
    maker_fee_rate: Decimal = _d("0.0002")
    volatile_taker_fee_rate: Decimal = _d("0.0008")
    volatile_maker_fee_rate: Decimal = _d("0.0003")
    builder_fee_rate: Decimal = _d("0.0002")
    platform_loss_share: Decimal = _d("0.8")
    order_expiry_ns: int = 7 * DAY_NS
    max_positions_per_user_symbol: int = 200
    forced_at_touch_refused: bool = False
    # §3 HYPERLIQUID execution
    hl_slippage_cap: Decimal = _d("0.01")
    deviation_log_usd: Decimal = _d("10")
    deviation_alert_rate: Decimal = _d("0.01")
    deviation_critical_rate: Decimal = _d("0.05")
    deviation_day_review_usd: Decimal = _d("1000")
    deviation_day_critical_usd: Decimal = _d("5000")
    position_difference_alert: Decimal = _d("0.0001")
    position_difference_critical: Decimal = _d("0.001")
    # §4 liquidation
    liquidation_slippage_cap: Decimal = _d("0.02")
    liquidation_cap_widening: Decimal = _d("2")
    liquidation_widest_cap: Decimal = _d("0.5")
    liquidation_retry_ns: int = SECOND_NS
    partial_liquidation: bool = False
    partial_liquidation_above: Decimal = _d("100000")
    partial_liquidation_share: Decimal = _d("0.2")
    partial_liquidation_window_ns: int = 30 * SECOND_NS
    withdrawal_margin_share: Decimal = _d("0.1")
    # §5 funding
    funding_interval_hours: int = 1
    # §6 hedging
    hedging_enabled: bool = True
    hedge_tiers: tuple[HedgeTier, ...] = (
        HedgeTier(_d("100000"), _d("0.5")),
        HedgeTier(_d("500000"), _d("0.8")),
    )
    hedge_tier_release: Decimal = _d("0.9")
    hedge_leverage: tuple[LeverageStep, ...] = (
        LeverageStep(_d("300000"), 2),
        LeverageStep(_d("600000"), 3),
        LeverageStep(None, 5),
    )
    hedge_debounce_ns: int = 5 * SECOND_NS
    hedge_max_wait_ns: int = 15 * SECOND_NS
    hedge_drift_share: Decimal = _d("0.05")
    hedge_min_notional: Decimal = _d("10")
    hedge_slippage_cap: Decimal = _d("0.01")
    dehedge_per_minute: Decimal = _d("200000")
    hedge_retry_first_ns: int = 100_000_000
    hedge_retry_max: int = 10
    hedge_retry_alert_at: int = 5
    # §6 our own HL accounts: margin ratios as fractions of maintenance
    margin_ratio_normal: Decimal = _d("5")
    margin_ratio_topup: Decimal = _d("3")
    hedge_ratio_critical: Decimal = _d("2")
    hedge_loss_critical_share: Decimal = _d("0.5")
    trading_ratio_critical: Decimal = _d("1.5")
    # §6 reserve, breaker, price sanity
    reserve_normal: Decimal = _d("500000")
    reserve_floor: Decimal = _d("200000")
    daily_loss_alert: Decimal = _d("100000")
    daily_loss_breaker: Decimal = _d("500000")
    price_sanity_limit: Decimal = _d("0.05")
    price_sanity_updates: int = 5
    # §9 what our hot wallets must hold, or operators are called
    hot_wallet_floor: Decimal = _d("100000")
    # §6 starting capital
    trading_account_capital: Decimal = _d("500000")
    hedge_account_capital: Decimal = _d("200000")
    reserve_capital: Decimal = _d("500000")
    platform_capital: Decimal = _d("1000000")


# Of the risk config: the first of each pair must not be above the second.
ORDERED = (
    ("symbol_exposure_cap", "total_exposure_cap"),
    ("price_range_release", "price_range_limit"),
    ("deviation_alert_rate", "deviation_critical_rate"),
    ("deviation_day_review_usd", "deviation_day_critical_usd"),
    ("position_difference_alert", "position_difference_critical"),
    ("liquidation_slippage_cap", "liquidation_widest_cap"),
    ("hedge_debounce_ns", "hedge_max_wait_ns"),
    ("hedge_retry_alert_at", "hedge_retry_max"),
    ("margin_ratio_topup", "margin_ratio_normal"),
    ("hedge_ratio_critical", "margin_ratio_topup"),
    ("trading_ratio_critical", "margin_ratio_topup"),
    ("reserve_floor", "reserve_normal"),
    ("daily_loss_alert", "daily_loss_breaker"),
)


@dataclass(frozen=True, slots=True)
class Settings:
    """Join the routing table (key ``*`` is the default row) with the risk config and data resolutions.

    ``channel_silence_ns`` and ``sanity_limit`` override the risk config for a symbol, since in a backtest
    both scale with the resolution of that symbol's data.
    """

    routing: dict[str, RoutingConfig] = field(default_factory=lambda: {"*": RoutingConfig()})
    risk: RiskConfig = field(default_factory=RiskConfig)
    channel_silence_ns: dict[str, int] = field(default_factory=dict)
    sanity_limit: dict[str, Decimal] = field(default_factory=dict)

    def routing_of(self, symbol: str) -> RoutingConfig:
        """Return the symbol's own row, or the default row."""
        return self.routing.get(symbol) or self.routing["*"]
