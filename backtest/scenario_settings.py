"""The rulebook's settings as a scenario file names them.

One rule: names and defaults are those of ``risk.settings``; a name ending in ``_ns`` loses that ending and
is written as a duration, such as ``hedge_debounce = "5s"``. Texts become the comments of a written file.
"""

from dataclasses import fields
from decimal import Decimal
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from backtest.scenario_values import (
    Count,
    Duration,
    Fraction,
    Leverage,
    Money,
    Positive,
    Section,
    format_duration,
)
from risk.settings import ORDERED, HedgeTier, LeverageStep, RiskConfig, RoutingConfig, RoutingMode


def _text(text: str) -> Any:
    return Field(description=text)


class RoutingRow(Section):
    """One row of the routing table; what a symbol's row leaves out is taken from row ``*``."""

    routing_mode: RoutingMode | None = None
    normal_threshold: Annotated[Money | None, _text("USDC; INTERNAL up to it in NORMAL_MODE")] = None
    betting_threshold: Annotated[Money | None, _text("USDC; INTERNAL up to it in BETTING_MODE")] = None
    hl_mode_exposure_threshold: Annotated[Money | None, _text("USDC of net exposure; HL_MODE from it on")] = (
        None
    )
    betting_mode_exposure_threshold: Annotated[
        Money | None, _text("USDC of net exposure; BETTING_MODE up to it")
    ] = None
    auto_switch_enabled: Annotated[bool | None, _text("false: crossings are only recommended")] = None
    internal_whitelisted: Annotated[bool | None, _text("false: every order goes to Hyperliquid")] = None

    def config(self, default: RoutingConfig) -> RoutingConfig:
        """Return the row with what it leaves out taken from ``default``."""
        given = {
            name: value for name in type(self).model_fields if (value := getattr(self, name)) is not None
        }
        return RoutingConfig(
            **{field.name: getattr(default, field.name) for field in fields(default)} | given
        )


class Tier(Section):
    """One row of the hedge table."""

    lower: Money
    ratio: Fraction


class Step(Section):
    """One step of the hedge account's leverage ladder."""

    upto: Positive | None = None
    leverage: Leverage


class RiskSection(Section):
    """Every field of ``RiskConfig``."""

    symbol_exposure_cap: Annotated[Money, _text("USDC; forced to HL above it")]
    total_exposure_cap: Annotated[Money, _text("USDC over all symbols; forced to HL above it")]
    price_range_limit: Annotated[Fraction, _text("(max - min) / min over 60 minutes; forced to HL above it")]
    price_range_release: Annotated[Fraction, _text("... until it is under this")]
    max_round_trip: Annotated[Duration, _text("HL channel unhealthy above it")]
    max_channel_silence: Annotated[
        Duration, _text("HL channel unhealthy above it; replays use 2 x resolution")
    ]
    unreachable_after: Annotated[Duration, _text("without HL: opens and closes are refused")]
    hl_mode_release: Annotated[Money, _text("USDC; auto-switch leaves HL_MODE under it")]
    betting_mode_release_factor: Annotated[Positive, _text("BETTING_MODE is left above this x its threshold")]
    hl_min_notional: Annotated[Money, _text("USDC; smaller orders for HL are refused")]
    split_at_threshold: Annotated[bool, _text("route the part up to the threshold INTERNAL, the rest to HL")]
    taker_fee_rate: Fraction
    maker_fee_rate: Fraction
    volatile_taker_fee_rate: Annotated[Fraction, _text("while the price range is over its limit")]
    volatile_maker_fee_rate: Fraction
    builder_fee_rate: Annotated[Fraction, _text("ours, on HYPERLIQUID fills")]
    platform_loss_share: Annotated[Fraction, _text("of client losses; the rest goes to the reserve")]
    order_expiry: Duration
    max_positions_per_user_symbol: Count
    forced_at_touch_refused: Annotated[
        bool, _text("a resting order forced at its touch: refused, else sent to HL")
    ]
    hl_slippage_cap: Annotated[Fraction, _text("of market orders sent to HL")]
    deviation_log_usd: Annotated[Money, _text("deviations above it are logged and graded")]
    deviation_alert_rate: Fraction
    deviation_critical_rate: Annotated[Fraction, _text("above it HL routing of the symbol halts")]
    deviation_day_review_usd: Money
    deviation_day_critical_usd: Money
    position_difference_alert: Annotated[
        Fraction, _text("of our size at HL against the books'; alert above it")
    ]
    position_difference_critical: Annotated[Fraction, _text("... above this also no new HL opens")]
    liquidation_slippage_cap: Fraction
    liquidation_cap_widening: Annotated[Positive, _text("factor on the cap of each further attempt")]
    liquidation_widest_cap: Annotated[Fraction, _text("no attempt accepts worse than this from the mark")]
    liquidation_retry: Annotated[Duration, _text("between attempts that leave a position open")]
    partial_liquidation: Annotated[bool, _text("close a share first, as Hyperliquid does")]
    partial_liquidation_above: Annotated[Money, _text("USDC")]
    partial_liquidation_share: Fraction
    partial_liquidation_window: Annotated[Duration, _text("again within it: close whole")]
    withdrawal_margin_share: Annotated[Fraction, _text("of total notional must remain")]
    funding_interval_hours: Count
    hedging_enabled: bool
    hedge_tiers: Annotated[tuple[Tier, ...], _text("share of a net exposure hedged from `lower` USDC on")]
    hedge_tier_release: Annotated[Fraction, _text("a tier is left under this share of its lower edge")]
    hedge_leverage: Annotated[tuple[Step, ...], _text("leverage while all hedges are at most `upto` USDC")]
    hedge_debounce: Annotated[Duration, _text("act this long after the last size change")]
    hedge_max_wait: Annotated[Duration, _text("... and at most this long after the first")]
    hedge_drift_share: Annotated[Fraction, _text("of the target; a moving mark alone acts above it")]
    hedge_min_notional: Annotated[Money, _text("USDC; smaller gaps are left")]
    hedge_slippage_cap: Fraction
    dehedge_per_minute: Annotated[Money, _text("USDC")]
    hedge_retry_first: Duration
    hedge_retry_max: Count
    hedge_retry_alert_at: Count
    margin_ratio_normal: Annotated[Positive, _text("equity / maintenance of our own HL accounts")]
    margin_ratio_topup: Annotated[Positive, _text("topped up from capital below it")]
    hedge_ratio_critical: Annotated[Positive, _text("de-leverage below it")]
    hedge_loss_critical_share: Annotated[Fraction, _text("unrealised loss / margin; de-leverage above it")]
    trading_ratio_critical: Annotated[Positive, _text("no new HL opens below it")]
    reserve_normal: Annotated[Money, _text("USDC; under it thresholds are halved")]
    reserve_floor: Annotated[Money, _text("USDC; under it nothing is internalised")]
    daily_loss_alert: Annotated[Money, _text("USDC of INTERNAL result since 00:00 UTC")]
    daily_loss_breaker: Annotated[Money, _text("USDC; no internalisation until 00:00 UTC")]
    price_sanity_limit: Annotated[Fraction, _text("change from the update before; replays scale it")]
    price_sanity_updates: Annotated[Count, _text("in a row accept a new level")]
    trading_account_capital: Annotated[Money, _text("USDC at the start")]
    hedge_account_capital: Money
    reserve_capital: Money
    platform_capital: Money

    @model_validator(mode="before")
    @classmethod
    def _fill_defaults(cls, given: Any) -> Any:
        return DEFAULTS | given if isinstance(given, dict) else given

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        for pair in ORDERED:
            lower, upper = map(_plain_name, pair)
            if getattr(self, lower) > getattr(self, upper):
                shown = self.model_dump(include={lower, upper})
                raise ValueError(
                    f"{lower} was {shown[lower]}; it must not be above {upper}, which was {shown[upper]}"
                )
        edges = [tier.lower for tier in self.hedge_tiers]
        if edges != sorted(set(edges)):
            began = ", ".join(map(str, edges))
            raise ValueError(f"hedge_tiers began at {began}; each must begin above the one before")
        bounds = [step.upto for step in self.hedge_leverage]
        inner = [bound for bound in bounds[:-1] if bound is not None]
        if (
            not bounds
            or bounds[-1] is not None
            or len(inner) < len(bounds) - 1
            or inner != sorted(set(inner))
        ):
            raise ValueError(
                "hedge_leverage must have rising `upto` bounds and end with a step that has none"
            )
        return self

    @property
    def capital(self) -> Decimal:
        """Return what the house begins with, USDC."""
        ours = self.trading_account_capital + self.hedge_account_capital
        return self.platform_capital + self.reserve_capital + ours

    def config(self) -> RiskConfig:
        """Return the settings as the core takes them."""
        values: dict[str, Any] = {name: getattr(self, _plain_name(name)) for name in _SIMULATED}
        values["hedge_tiers"] = tuple(HedgeTier(tier.lower, tier.ratio) for tier in self.hedge_tiers)
        values["hedge_leverage"] = tuple(
            LeverageStep(step.upto, step.leverage) for step in self.hedge_leverage
        )
        return RiskConfig(**values)


def _plain_name(name: str) -> str:
    return name.removesuffix("_ns")


def _default(name: str, value: Any) -> Any:
    if name.endswith("_ns"):
        return format_duration(value)
    if isinstance(value, tuple):
        return tuple({field.name: getattr(row, field.name) for field in fields(row)} for row in value)
    return value


_LIVE_ONLY = {"hot_wallet_floor"}  # no chain is simulated
_SIMULATED = [field.name for field in fields(RiskConfig) if field.name not in _LIVE_ONLY]
DEFAULTS = {_plain_name(name): _default(name, getattr(RiskConfig(), name)) for name in _SIMULATED}
