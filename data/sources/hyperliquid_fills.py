"""Hyperliquid's fill objects, the same in node files and at the info endpoint, as FILLS frames."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa

from data import frames
from data.sources.raw import frame
from risk.errors import InvalidInput

_SIDES = {"B": "BUY", "A": "SELL"}
_MS = 1_000_000


def is_perpetual(coin: str) -> bool:
    """Tell perpetuals from spot pairs (``@107``, ``PURR/USDC``) and outcome tokens (``#12``)."""
    return not coin.startswith(("@", "#")) and "/" not in coin


def fills_table(rows: Iterable[tuple[str, str, Mapping[str, Any]]]) -> pa.Table:
    """Build FILLS from (place, user, fill), in the order given; ``place`` names a row in errors.

    Every row stays, spot included (see ``is_perpetual``), and equal rows are separate fills.
    ``fill_id`` is trade id and side; fills of 2023 without one are named by hash and order id.
    ``liquidation`` marks fills the venue forced upon this user: liquidated, or auto-deleveraged. The
    other side of such a trade carries the same ``liquidation`` object but filled by its own order.
    """
    columns: dict[str, list[Any]] = {name: [] for name in frames.FILLS.names}
    ids: Counter[str] = Counter()
    for place, user, fill in rows:
        try:
            side = _SIDES[fill["side"]]
            row = {
                "fill_id": _unique(_base_id(fill), ids),
                "ts": int(fill["time"]) * _MS,
                "user": user.lower(),
                "symbol": str(fill["coin"]),
                "side": side,
                "price": float(fill["px"]),
                "size": float(fill["sz"]),
                "taker": bool(fill["crossed"]),
                "liquidation": _is_forced(user, fill),
            }
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InvalidInput(
                f"{place}: expected a fill with coin, px, sz, side (A or B), time and crossed, "
                f"was {str(fill)[:120]!r} ({type(error).__name__}: {error})"
            ) from error
        for name, value in row.items():
            columns[name].append(value)
    return frame(frames.FILLS, columns)


def _base_id(fill: Mapping[str, Any]) -> str:
    tid = fill.get("tid")
    return f"{tid}-{fill['side']}" if tid is not None else f"{fill['hash']}-{fill['oid']}-{fill['side']}"


def _unique(base: str, ids: Counter[str]) -> str:
    ids[base] += 1
    return base if ids[base] == 1 else f"{base}#{ids[base]}"


def _is_forced(user: str, fill: Mapping[str, Any]) -> bool:
    direction = str(fill.get("dir", ""))
    liquidated = (fill.get("liquidation") or {}).get("liquidatedUser", "")
    return (
        direction.startswith("Liquidated")
        or direction == "Auto-Deleveraging"
        or liquidated.lower() == user.lower()
    )
