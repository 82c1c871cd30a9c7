"""Hyperliquid's funding rate from a market's own quotes and oracle.

rate per hour = (P + clamp(I − P, −0.05 %, +0.05 %)) / 8, capped at ±4 %; I = 0.01 % per 8 hours; P = the
hour's mean of (max(bid − oracle, 0) − max(oracle − ask, 0)) / oracle. Source: Hyperliquid's docs, "Funding"
(there bid and ask are impact prices; here the best ones stand for them).
"""

import numpy as np

from data.synthetic.arrays import Floats, Ints
from data.synthetic.profiles import HOUR_NS

INTEREST_8H = 0.0001
CLAMP_8H = 0.0005
CAP_1H = 0.04
_RATE_DECIMALS = 10


def hourly_funding(ts: Ints, bid: Floats, ask: Floats, oracle: Floats) -> tuple[Ints, Floats, Ints]:
    """Return (times, hourly rates, interval in hours) of every full hour strictly inside the rows' span.

    The rate paid at an hour is of the rows since the hour before; an hour without rows pays no rate.
    """
    premium = (np.maximum(bid - oracle, 0.0) - np.maximum(oracle - ask, 0.0)) / oracle
    hours, first = np.unique(ts // HOUR_NS, return_index=True)
    mean = np.add.reduceat(premium, first) / np.diff(np.append(first, len(ts)))
    rate_8h = mean + np.clip(INTEREST_8H - mean, -CLAMP_8H, CLAMP_8H)
    rates = np.round(np.clip(rate_8h / 8.0, -CAP_1H, CAP_1H), _RATE_DECIMALS)
    paid = (hours[:-1] + 1) * HOUR_NS  # the last hour has not ended inside the span
    return paid, rates[:-1], np.ones(len(paid), dtype=np.int64)
