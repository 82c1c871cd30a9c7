"""A scenario: everything a run depends on, in one validated TOML file.

What a file leaves out has its default; ``hybrid-perps scenario show NAME`` writes all of it out.
"""

import difflib
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Field, ValidationError, model_validator

from backtest.scenario_errors import sentence
from backtest.scenario_settings import DEFAULTS, RiskSection, RoutingRow
from backtest.scenario_values import Count, Duration, Fraction, Interval, Leverage, Money, Section, Time
from data.storage import read_toml
from risk.errors import InvalidInput
from risk.settings import RoutingConfig, Settings

READY = Path(__file__).parent / "scenarios"


def _text(text: str) -> Any:
    return Field(description=text)


class DataSection(Section):
    """Where the market comes from."""

    source: Annotated[Literal["synthetic", "dataset"], _text("synthetic or dataset")] = "synthetic"
    profile: Annotated[str, _text("of a synthetic market; also the mood of a synthetic flow")] = "calm"
    dataset: Annotated[str, _text("name of an imported dataset")] = ""
    symbols: Annotated[tuple[str, ...], _text("[]: all the source has")] = ()
    start: Annotated[Time, _text('UTC, such as "2023-04-10"; "": from the first')] = None
    end: Annotated[Time, _text('UTC, not included; "": to the last')] = None
    from_share: Annotated[Fraction, _text("run from this share of that time on ...")] = Decimal(0)
    to_share: Annotated[Fraction, _text("... to this one: parts to tune on and parts to test on")] = Decimal(
        1
    )
    hours: Annotated[Decimal, Field(ge=1, le=24 * 366, description="length of a synthetic market")] = Decimal(
        24
    )
    step: Annotated[Interval, _text("resolution of a synthetic market, 1s to 60s")] = 5 * 10**9

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.source == "dataset" and not self.dataset:
            raise ValueError('dataset was empty; source "dataset" needs its name, such as "flow-2023"')
        if self.start is not None and self.end is not None and self.start >= self.end:
            raise ValueError("end was not after start")
        if self.from_share >= self.to_share:
            raise ValueError(f"to_share was {self.to_share}; it must be above from_share, {self.from_share}")
        return self

    def window(self, start_ns: int, end_ns: int) -> tuple[int, int]:
        """Return the part of [start, end) that is run."""
        first, last = (int(share * (end_ns - start_ns)) for share in (self.from_share, self.to_share))
        return start_ns + first, start_ns + last


class FlowSection(Section):
    """Which users trade on the platform."""

    source: Annotated[
        str, _text("synthetic, dataset (the data's own users) or the path of a flow folder")
    ] = "synthetic"
    users: Annotated[Count, _text("of a synthetic flow")] = 250
    scale: Annotated[Count, _text("every user this many times, as distinct users")] = 1
    jitter: Annotated[Duration, _text("copies act up to this long earlier or later than their original")] = (
        60 * 10**9
    )
    merge: Annotated[bool, _text("taker fills of one second, user and side are one order")] = True
    makers: Annotated[
        Literal["limit", "market", "skip"], _text("maker fills become: limit, market or skip")
    ] = "limit"
    strict_deposits: Annotated[
        bool, _text("refuse what deposits do not cover; false: labelled opening balance")
    ] = False
    user_groups: Annotated[
        Count, _text("deal the users into this many groups by a hash of their names ...")
    ] = 1
    keep_groups: Annotated[
        tuple[Annotated[int, Field(ge=0)], ...], _text("... and run these only, 0 the first; []: all")
    ] = ()

    @model_validator(mode="after")
    def _check(self) -> Self:
        kept = sorted(set(self.keep_groups))
        if len(kept) < len(self.keep_groups) or (kept and kept[-1] >= self.user_groups):
            shown = ", ".join(map(str, self.keep_groups))
            raise ValueError(
                f"keep_groups was {shown}; each must be named once and lie under user_groups, {self.user_groups}"
            )
        return self


class VenueSection(Section):
    """How Hyperliquid, as simulated, answers our orders."""

    order_latency: Annotated[Duration, _text("from our decision to the venue's book")] = 200 * 10**6
    round_trip: Annotated[Duration, _text("of the channel, as its health check measures it")] = 100 * 10**6
    operator_response: Annotated[Duration, _text("until an operator lifts a symbol's HL halt (P0)")] = (
        5 * 60 * 10**9
    )
    taker_fee_rate: Annotated[Fraction | None, _text("unset: the venue's own")] = None
    maker_fee_rate: Annotated[Fraction | None, _text("unset: the venue's own")] = None
    slippage_bps: Annotated[Money, _text("a taker pays this beyond the quote ...")] = Decimal(0)
    depth_usd: Annotated[
        Money, _text("... and as much again per further depth_usd of notional; 0: just once")
    ] = Decimal(0)
    account_leverage: Annotated[Leverage, _text("of both our accounts in the simulated venue")] = 50


class Outage(Section):
    """A time in which Hyperliquid is silent and takes no order."""

    after: Annotated[Duration, _text("from the start")]
    lasts: Interval


class ReportSection(Section):
    """What a run records beside the events themselves."""

    sample_interval: Annotated[Interval, _text("between two snapshots of the house")] = 300 * 10**9
    counterfactuals: Annotated[
        bool,
        _text(
            "run twice more, with everything on HL and everything INTERNAL; false: estimated from the fills"
        ),
    ] = False


class Scenario(Section):
    """Hold one scenario; ``settings()`` gives the core's part of it."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    description: str = ""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 1
    data: DataSection = DataSection()
    flow: FlowSection = FlowSection()
    routing: dict[str, RoutingRow] = Field(default_factory=dict)
    risk: RiskSection = RiskSection.model_validate({})
    venue: VenueSection = VenueSection()
    outages: tuple[Outage, ...] = ()
    report: ReportSection = ReportSection()

    def settings(self) -> Settings:
        """Return routing table and risk config; the data's resolutions are the engine's to add."""
        default = self.routing.get("*", RoutingRow()).config(RoutingConfig())
        rows = {symbol: row.config(default) for symbol, row in sorted(self.routing.items()) if symbol != "*"}
        return Settings(routing={"*": default} | rows, risk=self.risk.config())


def parse_scenario(values: Mapping[str, Any]) -> Scenario:
    """Validate a scenario's tables; raise InvalidInput for the first wrong value, named by its path."""
    try:
        return Scenario.model_validate(dict(values))
    except ValidationError as error:
        raise InvalidInput(f"scenario: {sentence(error, _keys_at)}") from None


def load_scenario(name_or_path: str) -> Scenario:
    """Load a ready scenario by name, or a file by its path (one ending in ``.toml``).

    Raises InvalidInput when there is none, it is not TOML, or a value is wrong.
    """
    if not name_or_path.endswith(".toml"):
        return _load(READY / f"{_known(name_or_path)}.toml")
    return _load(Path(name_or_path))


def ready_scenarios() -> list[Scenario]:
    """Return all ready scenarios by name."""
    return [_load(READY / f"{name}.toml") for name in _names()]


def _load(path: Path) -> Scenario:
    return parse_scenario({"name": path.stem} | read_toml(path, "a scenario"))


def _names() -> list[str]:
    return sorted(path.stem for path in READY.glob("*.toml"))


def _known(name: str) -> str:
    names = _names()
    if name in names:
        return name
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(names)}; a file must end in .toml"
    raise InvalidInput(f"scenario was {name!r}: {hint}")


def _keys_at(location: list[str]) -> list[str]:
    match location:
        case []:
            return list(Scenario.model_fields)
        case ["risk"]:
            return list(DEFAULTS)
        case ["risk", table, _]:
            return list(DEFAULTS[table][0])
        case ["routing", _]:
            return list(RoutingRow.model_fields)
        case ["outages", _]:
            return list(Outage.model_fields)
    section = Scenario.model_fields[location[0]].annotation
    return list(section.model_fields) if isinstance(section, type) and issubclass(section, BaseModel) else []
