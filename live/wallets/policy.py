"""What a withdrawal must pass before it leaves: its tier by amount, and what sends it to people."""

from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple

from live.identity.principal import Role
from live.wallets.rules import WithdrawalRules


class Tier(StrEnum):
    """Rank withdrawals by amount; the order is the one in which a short hot wallet serves them."""

    SMALL = "SMALL"
    MEDIUM = "MEDIUM"
    LARGE = "LARGE"


class Reason(StrEnum):
    """Name what sends a withdrawal to people whatever its amount."""

    SAME_ADDRESS = "SAME_ADDRESS"
    BLACKLISTED = "BLACKLISTED"
    UNUSUAL_LOGIN = "UNUSUAL_LOGIN"
    HOT_WALLET_LOW = "HOT_WALLET_LOW"


class Facts(NamedTuple):
    """What is known of a withdrawal: ``same_address`` counts those of the window, this one among them.

    ``hot_wallet_low`` is so as well where no balance of the chain's is known.
    """

    amount: Decimal
    same_address: int
    blacklisted: bool
    unusual_login: bool
    hot_wallet_low: bool


class Verdict(NamedTuple):
    """What becomes of it: ``approvals_needed`` are the roles that must each approve, none if it is automatic."""

    tier: Tier
    approvals_needed: tuple[Role, ...]
    reasons: tuple[Reason, ...]


def tier_of(amount: Decimal, rules: WithdrawalRules) -> Tier:
    """Return the tier: below 10 000 small, to 100 000 inclusive medium, above large (defaults)."""
    if amount < rules.medium_from:
        return Tier.SMALL
    return Tier.LARGE if amount > rules.large_above else Tier.MEDIUM


def judge(facts: Facts, rules: WithdrawalRules) -> Verdict:
    """Return what a withdrawal must pass.

    Large ones need risk and operations. Others need one approval at most: for a reason of risk it is the risk
    manager's, otherwise that of operations.
    """
    tier = tier_of(facts.amount, rules)
    reasons = _reasons(facts, rules)
    if tier is Tier.LARGE:
        return Verdict(tier, (Role.RISK_MANAGER, Role.OPERATIONS), reasons)
    if set(reasons) - {Reason.HOT_WALLET_LOW}:
        return Verdict(tier, (Role.RISK_MANAGER,), reasons)
    if reasons or tier is Tier.MEDIUM:
        return Verdict(tier, (Role.OPERATIONS,), reasons)
    return Verdict(tier, (), ())


def _reasons(facts: Facts, rules: WithdrawalRules) -> tuple[Reason, ...]:
    found = {
        Reason.SAME_ADDRESS: facts.same_address > rules.same_address_most,
        Reason.BLACKLISTED: facts.blacklisted,
        Reason.UNUSUAL_LOGIN: facts.unusual_login,
        Reason.HOT_WALLET_LOW: facts.hot_wallet_low,
    }
    return tuple(reason for reason, holds in found.items() if holds)
