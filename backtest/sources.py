"""From a scenario's data and flow sections to the feed of a run."""

import difflib
from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
from nautilus_trader.model import MarkPriceUpdate, QuoteTick

from backtest.feed import Feed, LoadTicks, Tick
from backtest.flow_window import account_for, keep_users, narrow
from backtest.scenario import Scenario
from backtest.scenario_values import format_time
from data.catalog import to_mark_updates, to_quote_ticks
from data.dataset import Dataset, open_dataset
from data.flow import Flow, read_flow
from data.flow_2023 import import_flow_2023
from data.flow_scale import Jitter, scale_flow
from data.frames import MARKS, QUOTES
from data.locate import find_history
from data.synthetic.coins import COINS
from data.synthetic.dataset import DEFAULT_START_NS, DEFAULT_SYMBOLS, SyntheticDataset, synthetic_dataset
from data.synthetic.flow import synthetic_flow
from data.synthetic.market import MarketFrames
from data.synthetic.profiles import profile_named
from risk.errors import InvalidInput
from risk.market import SymbolSpec
from risk.settings import DAY_NS, MINUTE_NS

LEAD_NS = DAY_NS  # of market before the first order, so that every price has a past
TAIL_NS = MINUTE_NS  # of market after the last order, so that what is in flight can land
REAL_FLOW = "flow-2023"


def open_feed(
    scenario: Scenario,
    *,
    data_dir: Path | None = None,
    catalog_dir: Path | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Feed:
    """Make or open what ``scenario`` runs on; raise InvalidInput for what is missing or does not fit."""
    if scenario.data.source == "synthetic":
        feed = _synthetic_feed(scenario)
    else:
        dataset = open_dataset(scenario.data.dataset, catalog_dir, data_dir, progress)
        feed = _dataset_feed(scenario, dataset, data_dir)
    check_routing(scenario, list(feed.specs))
    return feed


def check_routing(scenario: Scenario, symbols: list[str]) -> None:
    """Raise InvalidInput if the scenario routes a symbol that is not among those of its data."""
    for symbol in scenario.routing.keys() - {"*", *symbols}:
        raise InvalidInput(f"routing has a row for {symbol!r}; the run has {_near(symbol, symbols)}")


def _near(symbol: str, symbols: list[str]) -> str:
    near = difflib.get_close_matches(symbol, symbols, n=1)
    return ", ".join(symbols) + (f": did you mean {near[0]!r}?" if near else "")


def _synthetic_feed(scenario: Scenario) -> Feed:
    data = scenario.data
    made = synthetic_dataset(
        data.profile,
        scenario.seed,
        symbols=data.symbols or DEFAULT_SYMBOLS,
        users=scenario.flow.users,
        duration_ns=int(data.hours * 3600) * 10**9,
        step_ns=data.step,
        start_ns=DEFAULT_START_NS if data.start is None else data.start,
    )
    if scenario.flow.source == "dataset":
        raise InvalidInput(
            "flow.source was 'dataset'; a synthetic market has no users of its own: synthetic or a path"
        )
    flow = (
        made.flow if scenario.flow.source == "synthetic" else _read(scenario, list(made.symbols), made.span)
    )
    start, end = data.window(*made.span)
    span = (max(made.span[0], start - LEAD_NS), min(made.span[1], end + TAIL_NS))
    rows = sum(frames.quotes.num_rows + frames.marks.num_rows for frames in made.market.values())
    return Feed(
        specs=_specs(scenario, made.specs),
        resolution_ns=made.resolution_ns,
        span=span,
        rows=_share_of(rows, span, made.span),
        flow=narrow(_chosen(scenario, flow), start, end, list(made.symbols)),
        funding=_settlements(made.funding, made.oracles, made.specs),
        outages=(*made.outages, *_outages(scenario, made.span[0])),
        round_trip_ns=scenario.venue.round_trip,
        input_hashes={},
        accounting=None,
        liquidations=None,
        load_ticks=_from_frames(made),
    )


def _dataset_feed(scenario: Scenario, dataset: Dataset, data_dir: Path | None) -> Feed:
    symbols = list(scenario.data.symbols) or dataset.symbols
    for symbol in symbols:
        if symbol not in dataset.symbols:
            raise InvalidInput(
                f"data.symbols has {symbol!r}; dataset {dataset.name!r} holds {_near(symbol, dataset.symbols)}"
            )
    first, last = dataset.span
    whole = (
        first if scenario.data.start is None else max(first, scenario.data.start),
        last + 1 if scenario.data.end is None else min(last + 1, scenario.data.end),
    )
    start, end = scenario.data.window(*whole)
    if start >= end:
        raise InvalidInput(
            f"data.start to data.end holds no data; {dataset.name!r} spans {format_time(first)} to "
            f"{format_time(last)} (UTC)"
        )
    accounting = None
    if scenario.flow.source == "synthetic":
        flow = _synthetic_flow(scenario, dataset, symbols, whole)
    elif scenario.flow.source == "dataset":
        flow, accounting = _own_flow(scenario, dataset, data_dir)
    else:
        flow = _read(scenario, dataset.symbols, (start, end))
    chosen = _chosen(scenario, flow)
    flow = narrow(chosen, start, end, symbols)
    if accounting is not None:
        accounting = account_for(accounting, flow, symbols, chosen.users)
    lead = start - LEAD_NS
    if start > first:
        lead = _first_prices_by(dataset, flow, lead)
    span = (lead, end + TAIL_NS)
    specs = {symbol: dataset.specs[symbol] for symbol in symbols}
    counted = [e for e in dataset.catalog.imports if e.symbol in specs and e.kind in ("quotes", "marks")]
    imported = (min(e.first_ns for e in counted), max(e.last_ns for e in counted))
    return Feed(
        specs=_specs(scenario, specs),
        resolution_ns={symbol: dataset.resolution_ns[symbol] for symbol in symbols},
        span=span,
        rows=_share_of(sum(e.rows for e in counted), span, imported),
        flow=flow,
        funding=_settlements(dataset.funding, dataset.oracles, specs),
        outages=_outages(scenario, whole[0]),
        round_trip_ns=scenario.venue.round_trip,
        input_hashes=dataset.input_hashes,
        accounting=accounting,
        liquidations=_within(dataset.liquidations, start, end) if scenario.flow.source == "dataset" else None,
        load_ticks=lambda begin, until: dataset.load(begin, until, symbols),
    )


def _share_of(rows: int, span: tuple[int, int], whole: tuple[int, int]) -> int:
    return int(min(1.0, (span[1] - span[0]) / max(1, whole[1] - whole[0])) * rows)


def _first_prices_by(dataset: Dataset, flow: Flow, lead_ns: int) -> int:
    """Return the start, ``lead_ns`` or earlier, from which every symbol has a price by its first order.

    Coins that seldom trade may have had their last price long before the window.
    """
    starts = [lead_ns]
    times = flow.orders["ts"].to_numpy()
    names = np.array(flow.orders["symbol"].to_pylist(), dtype=object)
    for symbol in flow.symbols:
        first_order = int(times[names == symbol][0])
        if not all(_by_kind(dataset.load(lead_ns, first_order, [symbol]))):
            starts += [kind[-1].ts_init for kind in _by_kind(dataset.load(0, lead_ns, [symbol])) if kind]
    return min(starts)


def _by_kind(ticks: list[Tick]) -> tuple[list[QuoteTick], list[MarkPriceUpdate]]:
    quotes = [tick for tick in ticks if isinstance(tick, QuoteTick)]
    return quotes, [tick for tick in ticks if not isinstance(tick, QuoteTick)]


def _within(liquidations: pa.Table | None, start_ns: int, end_ns: int) -> pa.Table | None:
    """Return the liquidations with start_ns ≤ ts < end_ns."""
    if liquidations is None:
        return None
    times = liquidations["ts"].to_numpy()
    return liquidations.filter((start_ns <= times) & (times < end_ns))


def _specs(scenario: Scenario, specs: Mapping[str, SymbolSpec]) -> dict[str, SymbolSpec]:
    """Return the specs by symbol, with the scenario's fees where it has any."""
    fees = {
        name: rate
        for name in ("taker_fee_rate", "maker_fee_rate")
        if (rate := getattr(scenario.venue, name)) is not None
    }
    return {symbol: replace(specs[symbol], **fees) for symbol in sorted(specs)}


def _settlements(
    rates: Mapping[str, pa.Table], oracles: Mapping[str, pa.Table], specs: Mapping[str, SymbolSpec]
) -> dict[str, list[tuple[int, Decimal, Decimal | None]]]:
    """Return (time, rate, last oracle by then) rows of the symbols that have funding."""
    found = {}
    for symbol in specs:
        if symbol in rates:
            times = rates[symbol]["ts"].to_numpy()
            exact = [Decimal(repr(rate)) for rate in rates[symbol]["rate"].to_pylist()]
            known = _as_of(oracles.get(symbol), times, specs[symbol].price_decimals)
            found[symbol] = list(zip(times.tolist(), exact, known, strict=True))
    return found


def _as_of(oracles: pa.Table | None, times: np.ndarray, decimals: int) -> list[Decimal | None]:
    if oracles is None:
        return [None] * len(times)
    rows = np.searchsorted(oracles["ts"].to_numpy(), times, side="right") - 1
    prices = oracles["oracle"].to_numpy()
    return [Decimal(f"{prices[row]:.{decimals}f}") if row >= 0 else None for row in rows]


def _outages(scenario: Scenario, start_ns: int) -> tuple[tuple[int, int], ...]:
    return tuple((start_ns + out.after, start_ns + out.after + out.lasts) for out in scenario.outages)


def _from_frames(made: SyntheticDataset) -> LoadTicks:
    def load(start_ns: int, end_ns: int) -> list[Tick]:
        ticks: list[Tick] = []
        for symbol, frames in made.market.items():
            spec = made.specs[symbol]
            ticks += to_quote_ticks(_between(frames.quotes, start_ns, end_ns), spec)
            ticks += to_mark_updates(_between(frames.marks, start_ns, end_ns), spec)
        return ticks

    return load


def _between(table: pa.Table, start_ns: int, end_ns: int) -> pa.Table:
    first, last = np.searchsorted(table["ts"].to_numpy(), (start_ns, end_ns))
    return table.slice(first, last - first)


def _own_flow(scenario: Scenario, dataset: Dataset, data_dir: Path | None) -> tuple[Flow, pa.Table | None]:
    """Return the users that came with the data, imported anew if the scenario wants another reading of them."""
    flow = scenario.flow
    if dataset.flow is None:
        raise InvalidInput(
            f"flow.source was 'dataset'; {dataset.name!r} has prices only: use \"synthetic\" or the path of a flow"
        )
    if flow.merge and flow.makers == "limit" and not flow.strict_deposits:
        return dataset.flow, dataset.accounting
    history = find_history(data_dir)
    if dataset.name != REAL_FLOW or history is None:
        raise InvalidInput(
            "flow.merge, flow.makers or flow.strict_deposits was changed; that needs dataset "
            f"{REAL_FLOW!r} and the history it is read from"
        )
    read = import_flow_2023(
        history, makers=flow.makers, merge=flow.merge, opening_balances=not flow.strict_deposits
    )
    return read.flow, read.accounting


def _read(scenario: Scenario, symbols: list[str], span: tuple[int, int]) -> Flow:
    """Read the flow the scenario names by its path; raise InvalidInput if none of it falls into the data."""
    flow = read_flow(Path(scenario.flow.source), symbols)
    if not flow.between(*span).orders.num_rows:
        times, data = ([f"{format_time(ts)}" for ts in bounds] for bounds in (flow.span, span))
        raise InvalidInput(
            f"flow.source was {scenario.flow.source!r}: its span, {' to '.join(times)}, has no order in that of the "
            f"data, {' to '.join(data)} (UTC)"
        )
    return flow


def _synthetic_flow(scenario: Scenario, dataset: Dataset, symbols: list[str], span: tuple[int, int]) -> Flow:
    """Let synthetic users trade on the dataset's prices, in the coins they know."""
    known = [symbol for symbol in symbols if symbol in COINS]
    if not known:
        raise InvalidInput(
            f"data.symbols were {', '.join(symbols)}; synthetic users trade {', '.join(COINS)}"
        )
    market = {symbol: _frames(dataset.load(*span, [symbol])) for symbol in known}
    profile = profile_named(scenario.data.profile)
    return synthetic_flow(profile, market, dataset.specs, scenario.flow.users, scenario.seed)


def _frames(ticks: list[Tick]) -> MarketFrames:
    """Turn one symbol's ticks back into frames; marks are taken as of each quote."""
    quotes, marks = _by_kind(ticks)
    times = np.array([quote.ts_init for quote in quotes])
    rows = np.searchsorted(np.array([mark.ts_init for mark in marks]), times, side="right") - 1
    values = np.array([float(mark.value) for mark in marks])
    names = ("bid_price", "ask_price", "bid_size", "ask_size")
    sides = [np.array([float(getattr(quote, name)) for quote in quotes]) for name in names]
    none = pa.table({})
    return MarketFrames(
        quotes=pa.table([times, *sides], schema=QUOTES),
        marks=pa.table([times, values[np.maximum(rows, 0)]], schema=MARKS),
        oracles=none,
        funding=none,
    )


def _chosen(scenario: Scenario, flow: Flow) -> Flow:
    """Return the users that the scenario runs, each as often as it wants."""
    given = len(flow.users)
    flow = keep_users(flow, scenario.flow.user_groups, scenario.flow.keep_groups)
    if given and not flow.users:
        raise InvalidInput(
            f"flow.keep_groups leaves none of {given} users; keep more of the {scenario.flow.user_groups} groups"
        )
    if scenario.flow.scale == 1:
        return flow
    return scale_flow(flow, scenario.flow.scale, scenario.seed, Jitter(delay_ns=scenario.flow.jitter))
