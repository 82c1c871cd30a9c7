"""The digest of a whole core: equal books have equal digests, on any machine, in any process."""

import hashlib
from dataclasses import fields, is_dataclass
from decimal import Decimal

from risk.core import Core
from risk.inputs import HlAccount


def state_digest(core: Core) -> str:
    """Return the hash of everything a later decision could depend on."""
    state = (
        core.now,
        sorted(core.ledger.balances.items()),
        core.ledger.seq,
        [core.positions[i] for i in sorted(core.positions)],
        [core.orders[i] for i in sorted(core.orders)],
        [core.venue_orders[i] for i in sorted(core.venue_orders)],
        [(u.name, u.liquidating, u.cross_losses) for u in core.users.values() if u.cross],
        sorted(core.withdrawals.items()),
        [
            (
                n,
                s.mark,
                s.mark_seq,
                s.mode,
                s.pinned,
                s.hedge_forced,
                s.recommended,
                s.funding_index,
                s.funding_pending,
                s.guard.state(),
                s.range_guard.state(),
                s.net_size,
                s.net_cost,
                s.hl_size,
                s.hl_cost,
                s.hl_funding_expected,
                s.hedge_size,
                s.hedge_cost,
                s.hl_halted,
            )
            for n, s in core.symbols.items()
        ],
        core.channel.state(),
        core.breaker.state(),
        core.deviation_day.state(),
        core.hedger.state(),
        [core.account_level[account] for account in HlAccount],
        (core.user_hl_result, core.swept_hl_losses, core.hl_halted),
        sorted(core.position_differences.items()),
        core.next_position_id,
        core.next_fill_id,
        core.next_cloid,
        # Only where it is not normal: books that never were degraded keep the digests they had.
        *([core.service_level] if core.service_level else ()),
    )
    return hashlib.blake2b(_canonical(state).encode(), digest_size=16).hexdigest()


def _canonical(value: object) -> str:
    """Write a value so that equal ones read equal: decimals normalised, dataclasses field by field."""
    if isinstance(value, Decimal):
        return str(value.normalize()) if value else "0"
    if is_dataclass(value):
        return "{" + ",".join(_canonical(getattr(value, f.name)) for f in fields(value)) + "}"
    if isinstance(value, tuple | list):
        return "[" + ",".join(map(_canonical, value)) + "]"
    return str(value)
