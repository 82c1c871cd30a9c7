"""Column names of the plain frames that every source module yields and every writer takes.

All frames are ``pyarrow.Table``s. Times are ``int64`` UTC nanoseconds; prices, sizes and rates are
``float64`` (exact for the at most 15 digits venues publish); ``symbol`` is Hyperliquid's coin name.
"""

import pyarrow as pa

BARS = pa.schema(
    [("ts_open", pa.int64())] + [(name, pa.float64()) for name in ("open", "high", "low", "close", "volume")]
)
QUOTES = pa.schema(
    [("ts", pa.int64())] + [(name, pa.float64()) for name in ("bid", "ask", "bid_size", "ask_size")]
)
MARKS = pa.schema([("ts", pa.int64()), ("mark", pa.float64())])
ORACLES = pa.schema([("ts", pa.int64()), ("oracle", pa.float64())])
TRADES = pa.schema(
    [
        ("ts", pa.int64()),
        ("price", pa.float64()),
        ("size", pa.float64()),
        ("aggressor", pa.string()),  # BUY or SELL
        ("trade_id", pa.string()),
    ]
)
FUNDING = pa.schema([("ts", pa.int64()), ("rate", pa.float64()), ("interval_hours", pa.int64())])
# One row per level and snapshot; level 0 is the best of its side.
BOOK = pa.schema(
    [
        ("ts", pa.int64()),
        ("side", pa.string()),  # BUY or SELL
        ("level", pa.int64()),
        ("price", pa.float64()),
        ("size", pa.float64()),
    ]
)
# Fills of users as a venue reports them, before they become orders.
FILLS = pa.schema(
    [
        ("fill_id", pa.string()),
        ("ts", pa.int64()),
        ("user", pa.string()),
        ("symbol", pa.string()),
        ("side", pa.string()),  # BUY or SELL
        ("price", pa.float64()),
        ("size", pa.float64()),
        ("taker", pa.bool_()),
        ("liquidation", pa.bool_()),
    ]
)
