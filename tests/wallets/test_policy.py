"""Tiers, reasons for review, and addresses: pure rules."""

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from live.identity.principal import Role
from live.wallets.addresses import as_written, checksummed
from live.wallets.policy import Facts, Reason, Tier, Verdict, judge, tier_of
from live.wallets.rules import WithdrawalRules
from risk.errors import InvalidInput

D = Decimal
RULES = WithdrawalRules()
FINE = Facts(D(100), 1, False, False, False)


@pytest.mark.parametrize(
    ("amount", "tier", "needed"),
    [
        ("9999.999999", Tier.SMALL, ()),
        ("10000", Tier.MEDIUM, (Role.OPERATIONS,)),
        ("100000", Tier.MEDIUM, (Role.OPERATIONS,)),
        ("100000.000001", Tier.LARGE, (Role.RISK_MANAGER, Role.OPERATIONS)),
    ],
)
def test_the_amount_decides_who_must_approve(amount: str, tier: Tier, needed: tuple[Role, ...]) -> None:
    assert judge(FINE._replace(amount=D(amount)), RULES) == Verdict(tier, needed, ())


@pytest.mark.parametrize(
    ("change", "reason", "by"),
    [
        ({"same_address": 4}, Reason.SAME_ADDRESS, Role.RISK_MANAGER),
        ({"blacklisted": True}, Reason.BLACKLISTED, Role.RISK_MANAGER),
        ({"unusual_login": True}, Reason.UNUSUAL_LOGIN, Role.RISK_MANAGER),
        ({"hot_wallet_low": True}, Reason.HOT_WALLET_LOW, Role.OPERATIONS),
    ],
)
def test_each_reason_sends_a_small_one_to_a_person(change: dict, reason: Reason, by: Role) -> None:
    assert judge(FINE._replace(**change), RULES) == Verdict(Tier.SMALL, (by,), (reason,))


def test_the_third_to_one_address_is_no_reason() -> None:
    assert judge(FINE._replace(same_address=3), RULES) == Verdict(Tier.SMALL, (), ())


_FACTS = st.builds(
    Facts,
    st.decimals(1, 10**6, places=6),
    st.integers(1, 10),
    st.booleans(),
    st.booleans(),
    st.booleans(),
)


@given(_FACTS)
def test_nothing_with_a_reason_is_automatic_and_large_ones_have_two_pairs_of_eyes(facts: Facts) -> None:
    verdict = judge(facts, RULES)
    assert verdict.tier is tier_of(facts.amount, RULES)
    assert bool(verdict.approvals_needed) == (bool(verdict.reasons) or facts.amount >= 10_000)
    assert (len(verdict.approvals_needed) == 2) == (facts.amount > 100_000)
    assert len(set(verdict.approvals_needed)) == len(verdict.approvals_needed)


@given(_FACTS, st.decimals(1, 10**6, places=6))
def test_more_money_never_needs_less(facts: Facts, more: Decimal) -> None:
    larger = facts._replace(amount=facts.amount + more)
    needed = len(judge(facts, RULES).approvals_needed)
    assert len(judge(larger, RULES).approvals_needed) >= needed


@pytest.mark.parametrize(
    ("chain", "asset", "amount", "named"),
    [
        ("solana", "USDC", "100", "chain was 'solana'"),
        ("arbitrum", "WBTC", "100", "asset was 'WBTC'"),
        ("arbitrum", "USDC", "9.999999", "amount was 9.999999"),
        ("arbitrum", "USDC", "1000000.000001", "amount was"),
    ],
)
def test_limits_of_chain_and_asset(chain: str, asset: str, amount: str, named: str) -> None:
    with pytest.raises(InvalidInput, match=named):
        RULES.check_amount(chain, asset, D(amount))
    assert RULES.check_amount("arbitrum", "USDC", D(10)).fee == 1


def test_the_rules_are_settings() -> None:
    rules = replace(RULES, medium_from=D(50), large_above=D(60))
    assert [tier_of(D(n), rules) for n in (49, 50, 60, 61)] == [
        Tier.SMALL,
        Tier.MEDIUM,
        Tier.MEDIUM,
        Tier.LARGE,
    ]


GOOD = "0x52908400098527886E0F7030069857D2E4169EE7"  # one of EIP-55's own examples
MIXED = "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359"


@pytest.mark.parametrize("address", [GOOD, MIXED])
def test_addresses_are_written_as_eip_55_does(address: str) -> None:
    assert checksummed(address) == address
    assert checksummed(address.lower()) == address
    assert checksummed("0x" + address[2:].upper()) == address
    assert as_written(address) == as_written(address.swapcase().replace("X", "x", 1)) == address


def test_what_is_no_address_is_written_as_it_came() -> None:
    for text in ("BTC", "uabcdefghijklmnopqrst", GOOD[:-1], GOOD.lower() + "0"):
        assert as_written(text) == text


@pytest.mark.parametrize(
    "address",
    [
        "",
        "0x",
        MIXED[:-1],
        MIXED + "0",
        MIXED[2:],
        "0x" + 40 * "g",
        MIXED.replace("B", "b", 1),
        "0x" + 40 * "0",
        MIXED + "\n",
        "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq",
    ],
)
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(InvalidInput, match="address was"):
        checksummed(address)
