"""Within what the settings may be changed at all, and which changes need a second person."""

from collections.abc import Iterable, Mapping
from dataclasses import fields
from decimal import Decimal
from itertools import pairwise
from typing import Any

from risk.errors import InvalidInput
from risk.settings import DAY_NS, HOUR_NS, ORDERED, SECOND_NS, RiskConfig, RoutingConfig

_TIMES = 10  # that many times another value, or as small a part of it, is an anomaly


def _d(text: str) -> Decimal:
    return Decimal(text)


Bounds = tuple[Decimal | int, Decimal | int]
_SHARE: Bounds = (_d("0"), _d("1"))
_FEE: Bounds = (_d("0"), _d("0.01"))
_SLIPPAGE: Bounds = (_d("0.0001"), _d("0.5"))
_EXPOSURE: Bounds = (_d("0"), _d("100000000"))
_RATIO: Bounds = (_d("1"), _d("100"))

# Starting capital is missing: it opened the books, and nothing else looks at it.
RISK_BOUNDS: Mapping[str, Bounds] = {
    "symbol_exposure_cap": _EXPOSURE,
    "total_exposure_cap": (_d("0"), _d("1000000000")),
    "price_range_limit": (_d("0.001"), _d("1")),
    "price_range_release": (_d("0.001"), _d("1")),
    "max_round_trip_ns": (1_000_000, 60 * SECOND_NS),
    "max_channel_silence_ns": (SECOND_NS // 10, 600 * SECOND_NS),
    "unreachable_after_ns": (SECOND_NS, HOUR_NS),
    "hl_mode_release": _EXPOSURE,
    "betting_mode_release_factor": (_d("1"), _d("10")),
    "hl_min_notional": (_d("0"), _d("10000")),
    "taker_fee_rate": _FEE,
    "maker_fee_rate": _FEE,
    "volatile_taker_fee_rate": _FEE,
    "volatile_maker_fee_rate": _FEE,
    "builder_fee_rate": (_d("0"), _d("0.001")),  # Hyperliquid allows no more on perpetuals
    "platform_loss_share": _SHARE,
    "order_expiry_ns": (60 * SECOND_NS, 90 * DAY_NS),
    "max_positions_per_user_symbol": (1, 10_000),
    "hl_slippage_cap": _SLIPPAGE,
    "deviation_log_usd": (_d("0"), _d("100000")),
    "deviation_alert_rate": (_d("0.0001"), _d("1")),
    "deviation_critical_rate": (_d("0.0001"), _d("1")),
    "deviation_day_review_usd": (_d("0"), _d("10000000")),
    "deviation_day_critical_usd": (_d("0"), _d("10000000")),
    "position_difference_alert": (_d("0.000001"), _d("1")),
    "position_difference_critical": (_d("0.000001"), _d("1")),
    "liquidation_slippage_cap": _SLIPPAGE,
    "liquidation_cap_widening": (_d("1"), _d("10")),
    "liquidation_widest_cap": _SLIPPAGE,
    "liquidation_retry_ns": (SECOND_NS // 10, 60 * SECOND_NS),
    "partial_liquidation_above": _EXPOSURE,
    "partial_liquidation_share": (_d("0.01"), _d("1")),
    "partial_liquidation_window_ns": (SECOND_NS, HOUR_NS),
    "withdrawal_margin_share": _SHARE,
    "funding_interval_hours": (1, 24),
    "hedge_tier_release": (_d("0.1"), _d("1")),
    "hedge_debounce_ns": (0, 600 * SECOND_NS),
    "hedge_max_wait_ns": (0, 600 * SECOND_NS),
    "hedge_drift_share": _SHARE,
    "hedge_min_notional": (_d("0"), _d("10000")),
    "hedge_slippage_cap": _SLIPPAGE,
    "dehedge_per_minute": (_d("1000"), _d("100000000")),
    "hedge_retry_first_ns": (1_000_000, 60 * SECOND_NS),
    "hedge_retry_max": (1, 20),
    "hedge_retry_alert_at": (1, 20),
    "margin_ratio_normal": _RATIO,
    "margin_ratio_topup": _RATIO,
    "hedge_ratio_critical": _RATIO,
    "hedge_loss_critical_share": (_d("0.01"), _d("1")),
    "trading_ratio_critical": _RATIO,
    "reserve_normal": (_d("0"), _d("1000000000")),
    "reserve_floor": (_d("0"), _d("1000000000")),
    "daily_loss_alert": (_d("0"), _d("1000000000")),
    "daily_loss_breaker": (_d("0"), _d("1000000000")),
    "price_sanity_limit": (_d("0.001"), _d("1")),
    "price_sanity_updates": (1, 100),
    "hot_wallet_floor": _EXPOSURE,
}
ROUTING_BOUNDS: Mapping[str, Bounds] = {
    "normal_threshold": (_d("0"), _d("10000000")),
    "betting_threshold": (_d("0"), _d("10000000")),
    "hl_mode_exposure_threshold": _EXPOSURE,
    "betting_mode_exposure_threshold": _EXPOSURE,
}
_WHITELIST = "internal_whitelisted"
FIXED = frozenset(("trading_account_capital", "hedge_account_capital", "reserve_capital", "platform_capital"))


def check_risk(before: RiskConfig, after: RiskConfig) -> None:
    """Raise InvalidInput, naming the setting, for one that was changed and is outside its bounds."""
    names = _changed(before, after)
    for name in names & FIXED:
        raise InvalidInput(f"{name} was {getattr(after, name)}; it only counts when books are opened")
    _check_bounds(after, names, RISK_BOUNDS)
    for lesser, greater in ORDERED:
        if names & {lesser, greater}:
            _check_order(after, lesser, greater)
    if names & {"hedge_tiers", "hedge_leverage"}:
        _check_hedging(after)


def check_routing(before: RoutingConfig, after: RoutingConfig) -> None:
    """Raise InvalidInput, naming the setting, for one that was changed and is outside its bounds."""
    names = _changed(before, after)
    _check_bounds(after, names, ROUTING_BOUNDS)
    pair = ("betting_mode_exposure_threshold", "hl_mode_exposure_threshold")
    if names & set(pair):
        _check_order(after, *pair)


def anomalies(before: Any, after: Any, agreed: Any) -> tuple[str, ...]:
    """Tell which settings changed so that a second person must agree.

    A number that becomes 0 or was, or becomes ten times the last or a tenth of it, or more, or of the one in
    ``agreed``, which two people agreed on last: many small steps go no further than one. Of the risk config also
    whatever is no number; of a routing row that a symbol may be internalised which two people had off: that is a
    threshold that was 0, as to take one off is a mode that is pinned, which one person may.
    """
    found = []
    for each in fields(after):
        last, new, base = (getattr(row, each.name) for row in (before, after, agreed))
        if last == new:
            continue
        if _is_number(new):
            if _is_anomaly(last, new) or (base != new and _is_anomaly(base, new)):
                found.append(each.name)
        elif isinstance(after, RiskConfig) or (each.name == _WHITELIST and new and not base):
            found.append(each.name)
    return tuple(found)


def _is_number(value: object) -> bool:
    return isinstance(value, Decimal | int) and not isinstance(value, bool)


def _is_anomaly(last: Decimal | int, new: Decimal | int) -> bool:
    return last == 0 or new == 0 or new >= _TIMES * last or _TIMES * new <= last


def _changed(before: Any, after: Any) -> set[str]:
    return {each.name for each in fields(after) if getattr(before, each.name) != getattr(after, each.name)}


def _check_bounds(holder: Any, names: set[str], bounds: Mapping[str, Bounds]) -> None:
    for name in sorted(names & bounds.keys()):
        low, high = bounds[name]
        value = getattr(holder, name)
        if not (isinstance(value, int) or value.is_finite()) or not low <= value <= high:
            raise InvalidInput(f"{name} was {value}; it must be {low} to {high}")


def _check_order(holder: Any, lesser: str, greater: str) -> None:
    if getattr(holder, lesser) > getattr(holder, greater):
        raise InvalidInput(
            f"{lesser} was {getattr(holder, lesser)}; it must not exceed {greater}, {getattr(holder, greater)}"
        )


def _check_hedging(risk: RiskConfig) -> None:
    tiers, steps = risk.hedge_tiers, risk.hedge_leverage
    for value in (
        *(each for tier in tiers for each in (tier.lower, tier.ratio)),
        *(step.upto for step in steps),
    ):
        if value is not None and not value.is_finite():
            raise InvalidInput(f"a value in hedge_tiers or hedge_leverage was {value}; it must be a number")
    if not tiers or not _rises(tier.lower for tier in tiers) or not _rises(tier.ratio for tier in tiers):
        raise InvalidInput("hedge_tiers must be one or more, with lower and ratio rising")
    if tiers[0].lower <= 0 or tiers[0].ratio <= 0 or tiers[-1].ratio > 1:
        raise InvalidInput("hedge_tiers must have lower above 0 and ratio above 0, at most 1")
    bounds = [step.upto for step in steps]
    if not steps or bounds[-1] is not None or not _rises(bounds[:-1]):
        raise InvalidInput("hedge_leverage must have upto rising, and the last one open (null)")
    if not all(1 <= step.leverage <= 5 for step in steps):
        raise InvalidInput("leverage in hedge_leverage must be 1 to 5, never more")


def _rises(values: Iterable[Any]) -> bool:
    found = list(values)
    return None not in found and all(a < b for a, b in pairwise(found))
