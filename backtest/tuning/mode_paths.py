"""Which orders stay INTERNAL under many settings: by size alone, or by a symbol's exposure too.

Where modes are switched automatically or a symbol's own cap is reached, its events are followed one by one, all
settings at once. The rule that switches modes is not written here a second time: its answers are tabulated by
asking ``risk.routing.auto_mode`` itself.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from backtest.tuning.exposure_paths import Kept, KeptByMask, KeptBySize, Mask, peaks, unforced_limit
from backtest.tuning.internal_flow import NEVER, Integers, InternalFlow, SymbolFlow
from risk.routing import auto_mode, mode_edges
from risk.settings import RiskConfig, RoutingConfig, RoutingMode, Settings

_MODES = tuple(RoutingMode)


def kept_by_symbol(flow: InternalFlow, settings: Sequence[Settings]) -> dict[str, Kept]:
    """Return what each of ``settings`` keeps, symbol by symbol; ``chunk_of(flow)`` settings at most."""
    rows: dict[str, list[_Row]] = {name: [] for name in flow.symbols}
    for each in settings:
        # Most symbols share the default row.
        known: dict[int, _Row] = {}
        for name in flow.symbols:
            config = each.routing_of(name)
            if id(config) not in known:
                known[id(config)] = _Row.of(flow, config, each.risk)
            rows[name].append(known[id(config)])
    return {name: _kept(symbol, rows[name]) for name, symbol in flow.symbols.items()}


def rules(flow: InternalFlow, settings: Settings, name: str) -> tuple[object, ...]:
    """Return all that decides a symbol's routing under ``settings``, for comparison: equal rules route alike."""
    row = _Row.of(flow, settings.routing_of(name), settings.risk)
    if row.answers is None:
        return row.limits[row.mode], row.cap
    return row.mode, row.limits, row.cap, row.bounds, row.answers


@dataclass(frozen=True, slots=True)
class _Row:
    """Hold one setting's rules for a symbol, in the flow's unit.

    ``limits`` by mode; exposure above ``cap`` forces orders out; ``bounds`` ascend, and the number of them that an
    exposure has reached is its code; ``answers`` are the modes auto-switch wants, by mode and code, or None without.
    """

    mode: int
    limits: list[int]
    cap: int
    bounds: list[int]
    answers: list[list[int]] | None

    @classmethod
    def of(cls, flow: InternalFlow, config: RoutingConfig, risk: RiskConfig) -> "_Row":
        edges = sorted(mode_edges(config, risk))
        limits = [unforced_limit(flow, mode, config, risk) for mode in _MODES]
        bounds = [bound for edge in edges for bound in _reached(flow, edge)]
        answers = None
        if config.auto_switch_enabled:
            samples = list(_samples(edges))
            wanted = [[auto_mode(mode, sample, config, risk) for sample in samples] for mode in _MODES]
            answers = [[_MODES.index(answer) for answer in answers] for answers in wanted]
        cap = flow.units(risk.symbol_exposure_cap)
        return cls(_MODES.index(config.routing_mode), limits, cap, bounds, answers)


def _reached(flow: InternalFlow, edge: Decimal) -> tuple[int, int]:
    """Return the least exposure in the flow's unit that is at least ``edge``, and the least that is above it."""
    floor = flow.units(edge)
    return floor + (flow.money(floor) < edge), floor + 1


def _samples(edges: Sequence[Decimal]) -> Iterator[Decimal]:
    """Yield an exposure of every code, ascending: at each edge, and in the open ranges around them."""
    yield edges[0] / 2
    for edge, above in zip(edges, [*edges[1:], 2 * edges[-1] + 1], strict=True):
        yield edge
        yield (edge + above) / 2


def _kept(symbol: SymbolFlow, rows: Sequence[_Row]) -> Kept:
    if all(row.answers is None for row in rows):
        kept = KeptBySize(symbol, np.array([row.limits[row.mode] for row in rows], dtype=np.int64))
        if not _may_reach(symbol, min(row.cap for row in rows)) or not _reaches(kept, rows):
            return kept
    return KeptByMask(symbol, _Walk(symbol, rows).mask())


def _may_reach(symbol: SymbolFlow, cap: int) -> bool:
    """Tell whether all that is open, longs and shorts alike, is ever above ``cap`` at the highest mark."""
    if not len(symbol.size):
        return False
    decisions, first = np.unique(symbol.decision, return_index=True)
    opening = np.sign(symbol.size[first])[np.searchsorted(decisions, symbol.decision)]
    return int(np.cumsum(symbol.size * opening).max()) * int(symbol.highest.max()) > cap


def _reaches(kept: KeptBySize, rows: Sequence[_Row]) -> bool:
    """Tell whether some setting's exposure is ever above its cap."""
    caps = np.array([row.cap for row in rows], dtype=np.int64)
    return bool((peaks(kept, kept.flow.highest) > caps).any())


class _Walk:
    """Follow one symbol through its events under K settings."""

    def __init__(self, symbol: SymbolFlow, rows: Sequence[_Row]) -> None:
        def table(values: list) -> Integers:
            return np.ascontiguousarray(np.array(values, dtype=np.int64).T)

        self._symbol = symbol
        self._mode = table([row.mode for row in rows])
        self._limits = table([row.limits for row in rows])
        self._caps = table([row.cap for row in rows])
        self._bounds = table([row.bounds for row in rows])
        codes = len(self._bounds) + 1
        stays = [[number] * codes for number in range(len(_MODES))]
        self._answers = np.array([row.answers or stays for row in rows], dtype=np.int64)
        self._low, self._high = self._ranges()
        self._everyone = np.arange(len(rows))
        self._net = np.zeros(len(rows), dtype=np.int64)
        self._mask = np.zeros((len(symbol.notional), len(rows)), dtype=np.bool_)
        self._adopt()

    def _ranges(self) -> tuple[Integers, Integers]:
        """Return from which exposure on and under which one each mode stays, by mode and setting.

        A mode is kept over a range of exposures without a gap: ``auto_mode`` has one edge on either side.
        """
        stays = self._answers == np.arange(len(_MODES))[:, None]
        first, last = stays.argmax(axis=2).T, stays.shape[2] - stays[:, :, ::-1].argmax(axis=2).T
        settings = np.arange(stays.shape[0])
        padded = np.vstack(
            (np.full_like(self._bounds[:1], -1), self._bounds, np.full_like(self._bounds[:1], NEVER))
        )
        low, high = padded[first, settings], padded[last, settings]
        never = ~stays.any(axis=2).T
        return np.where(never, NEVER, low), high

    def _adopt(self) -> None:
        """Take up what the modes say: the size limits, and the exposures between which they stay."""
        self._limit = self._limits[self._mode, self._everyone]
        self._from = self._low[self._mode, self._everyone]
        self._under = self._high[self._mode, self._everyone]

    def mask(self) -> Mask:
        """Return which decisions (D) each setting (K) keeps."""
        symbol = self._symbol
        # Decisions and changes as one list of steps in the order of the stream; a review ends each input.
        at = np.concatenate((symbol.decided_at, symbol.changed_at))
        order = np.argsort(at, kind="stable").tolist()
        inputs = np.concatenate((symbol.decided_in, symbol.changed_in)).tolist()
        before = self._ticks_before(inputs)
        passed, mark, decisions = 0, 0, len(symbol.notional)
        for step, following in zip(order, [*order[1:], -1], strict=True):
            if before[step] > passed:
                self._let_pass(symbol.tick[passed : before[step]])
                passed = before[step]
                mark = int(symbol.tick[passed - 1])
            if step < decisions:
                self._decide(step, mark)
                continue
            mark = self._change(step - decisions)
            if following < 0 or inputs[following] != inputs[step]:
                self._review(mark, mark, (mark,))
        return self._mask

    def _ticks_before(self, inputs: Sequence[int]) -> list[int]:
        """Return how many marks came before each step: first of all decisions, then of all changes.

        Of one moment the marks come first, unless the change made then shows that its own came after.
        """
        symbol = self._symbol
        moments = np.concatenate((symbol.decided_ns, symbol.changed_ns))
        counts = np.searchsorted(symbol.tick_ns, moments, side="right").tolist()
        of_input: dict[int, int] = {}
        changes = zip(
            symbol.changed_in.tolist(), symbol.mark.tolist(), symbol.changed_ns.tolist(), strict=True
        )
        for (number, mark, ts), count in zip(changes, counts[len(symbol.notional) :], strict=True):
            while count and symbol.tick[count - 1] != mark and symbol.tick_ns[count - 1] == ts:
                count -= 1
            of_input[number] = count
        return [of_input.get(number, count) for number, count in zip(inputs, counts, strict=True)]

    def _decide(self, decision: int, mark: int) -> None:
        fits = self._symbol.notional[decision] <= self._limit
        self._mask[decision] = fits & (np.abs(self._net) * mark <= self._caps)

    def _change(self, change: int) -> int:
        """Carry out a change and return the mark then."""
        symbol = self._symbol
        self._net += symbol.size[change] * self._mask[symbol.decision[change]]
        return int(symbol.mark[change])

    def _let_pass(self, marks: Integers) -> None:
        self._review(int(marks.min()), int(marks.max()), marks.tolist())

    def _review(self, lowest: int, highest: int, marks: Sequence[int]) -> None:
        """Review at each of ``marks`` the modes that would not stay at the lowest or the highest of them."""
        size = np.abs(self._net)
        moves = size * lowest < self._from
        moves |= size * highest >= self._under
        if not moves.any():
            return
        (moving,) = moves.nonzero()
        bounds, answers, mode = self._bounds[:, moving], self._answers[moving], self._mode[moving]
        rows = np.arange(len(moving))
        for mark in marks:
            codes = (size[moving] * mark >= bounds).sum(axis=0)
            mode = answers[rows, mode, codes]
        self._mode[moving] = mode
        self._adopt()
