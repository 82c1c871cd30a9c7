"""What operators see of users, orders and their routes, withdrawals, and what was done."""

from typing import Literal

from pydantic import BaseModel, Field

from live.api.reads.everyone import Overview
from live.api.reads.fills import FillItem
from live.api.reads.forms import MOMENT, MONEY, NANOSECONDS, NUMBER, PLAIN, DecimalText, MomentText
from live.api.reads.listing import Column
from live.api.reads.money import BalanceItem
from live.api.reads.orders import ORDERS, OrderItem
from live.api.reads.positions import PositionItem
from live.api.reads.transfers import WithdrawalStatus

Mode = Literal["HL_MODE", "NORMAL_MODE", "BETTING_MODE"]


class UserItem(BaseModel):
    """Be one user of the books."""

    user: str = Field(examples=["uabcdefghijklmnopqrst"])
    email: str | None = Field(examples=["ann@example.org"])
    wallet_address: str | None = Field(examples=[None])
    kyc_status: Literal["NONE", "PENDING", "APPROVED", "REJECTED"]
    created_at: MomentText


class UserDetail(UserItem):
    """Be one user with balance and open positions."""

    balance: BalanceItem
    positions: list[PositionItem]


class RouteItem(BaseModel):
    """Be one decision where an order goes, and why."""

    id: int = Field(examples=[12])
    order_id: str = Field(examples=["o1207"])
    user: str = Field(examples=["uabcdefghijklmnopqrst"])
    symbol: str = Field(examples=["BTC"])
    side: Literal["BUY", "SELL"]
    notional: DecimalText = Field(examples=["5000"])
    mode: Mode
    threshold: DecimalText | None = Field(examples=["10000"])
    route: Literal["INTERNAL", "HYPERLIQUID"]
    reason: str = Field(examples=["WITHIN_THRESHOLD"])
    latency_ns: int = Field(examples=[1400])
    decided_at: MomentText


class AnyOrder(OrderItem):
    """Be an order of any user, and where it went."""

    user: str = Field(examples=["uabcdefghijklmnopqrst"])
    route: Literal["INTERNAL", "HYPERLIQUID"] | None


class OrderDetail(AnyOrder):
    """Be an order with the decisions where it goes, and its fills."""

    routing: list[RouteItem]
    fills: list[FillItem]


class AnyWithdrawal(BaseModel):
    """Be a withdrawal of any user, with all that whoever reviews it must know."""

    withdrawal_id: str = Field(examples=["w1207"])
    user: str = Field(examples=["uabcdefghijklmnopqrst"])
    chain: str = Field(examples=["arbitrum"])
    asset: str = Field(examples=["USDC"])
    amount: DecimalText = Field(examples=["20000.000000"])
    fee: DecimalText = Field(examples=["1.000000"])
    address: str = Field(examples=["0x52908400098527886E0F7030069857D2E4169EE7"])
    status: WithdrawalStatus
    tier: Literal["SMALL", "MEDIUM", "LARGE"] | None
    approvals_needed: list[str] = Field(
        description="Roles, one operator of each: nobody stands in for them.", examples=[["OPERATIONS"]]
    )
    approvals_given: list[str] = Field(description="ROLE:operator.", examples=[[]])
    review_reasons: list[str] = Field(examples=[["SAME_ADDRESS"]])
    refused_by: str | None = Field(examples=[None])
    reason: str | None = Field(examples=[None])
    tx_hash: str | None = Field(examples=[None])
    ip: str | None = Field(description="Where it was asked from.", examples=["192.0.2.7"])
    unusual_login: bool | None
    created_at: MomentText
    confirmed_at: MomentText | None
    sending_at: MomentText | None
    processed_at: MomentText | None


class ModeChange(BaseModel):
    """Be one switch of a symbol's mode, or of its pin."""

    id: int = Field(examples=[3])
    symbol: str = Field(examples=["BTC"])
    from_mode: Mode
    to_mode: Mode
    trigger: Literal["MANUAL", "AUTO"]
    pinned: bool
    operator: str = Field(examples=["uabcdefghijklmnopqrst"])
    net_exposure: DecimalText = Field(examples=["120000"])
    created_at: MomentText


class ServiceSwitch(BaseModel):
    """Be one switch of the service level (0 normal to 3 closed)."""

    id: int = Field(examples=[1])
    level: int = Field(examples=[2])
    previous: int = Field(examples=[0])
    operator: str = Field(examples=["uabcdefghijklmnopqrst"])
    reason: str = Field(examples=["Hyperliquid is down"])
    seq: int = Field(description="Names it for a rollback.", examples=[1207])
    created_at: MomentText


class AlertItem(BaseModel):
    """Be one alert."""

    id: int = Field(examples=[9])
    level: str = Field(examples=["P0"])
    code: str = Field(examples=["HOT_WALLET_LOW"])
    symbol: str = Field(examples=[""])
    value: DecimalText = Field(examples=["90000"])
    detail: str = Field(examples=["90000 USDC left"])
    created_at: MomentText


class AuditItem(BaseModel):
    """Be one act, as the audit log has it for ever."""

    id: int = Field(examples=[40])
    actor: str = Field(examples=["uabcdefghijklmnopqrst"])
    action: str = Field(examples=["ROUTING_MODE_SET"])
    subject: str = Field(examples=["BTC"])
    detail: str = Field(examples=["HL_MODE, pinned"])
    seq: int = Field(examples=[1207])
    at: MomentText


class BlacklistItem(BaseModel):
    """Be one address that withdrawals are looked at for."""

    address: str = Field(examples=["0x52908400098527886E0F7030069857D2E4169EE7"])
    reason: str = Field(examples=["named by a victim, case 12"])
    added_by: str = Field(examples=["uabcdefghijklmnopqrst"])
    added_at: MomentText


# An account tells more of a user than the books do, and what it tells can change.
USERS = Overview(
    """(select users.id, users.seq, coalesce(a.email, users.email) as email, kyc_status, users.created_at,
        coalesce(a.wallet_address, users.wallet_address) as wallet_address
        from users left join access.accounts a on a.id = users.id) as people""",
    "seq",
    (
        Column("user", "id", PLAIN),
        Column("email", "email", PLAIN),
        Column("wallet_address", "wallet_address", PLAIN),
        Column("kyc_status", "kyc_status", PLAIN),
        Column("created_at", "created_at", MOMENT),
    ),
)
ANY_ORDERS = Overview(
    "orders",
    "seq",
    (*ORDERS.columns, Column("user", "user_id", PLAIN), Column("route", "route", PLAIN)),
)
ROUTES = Overview(
    "routing_records",
    "id",
    (
        Column("id", "id", PLAIN),
        Column("order_id", "order_id", PLAIN),
        Column("user", "user_id", PLAIN),
        Column("symbol", "symbol", PLAIN),
        Column("side", "side", PLAIN),
        Column("notional", "notional", NUMBER),
        Column("mode", "mode", PLAIN),
        Column("threshold", "threshold", NUMBER),
        Column("route", "route", PLAIN),
        Column("reason", "reason", PLAIN),
        Column("latency_ns", "latency_ns", PLAIN),
        Column("decided_at", "ts", NANOSECONDS),
    ),
)
ANY_WITHDRAWALS = Overview(
    "withdrawals w left join access.withdrawal_requests r on r.withdrawal_id = w.id",
    "w.seq",
    (
        Column("withdrawal_id", "w.id", PLAIN),
        Column("user", "w.user_id", PLAIN),
        Column("chain", "w.chain", PLAIN),
        Column("asset", "w.asset", PLAIN),
        Column("amount", "w.amount", MONEY),
        Column("fee", "w.fee", MONEY),
        Column("address", "w.address", PLAIN),
        Column("status", "w.status", PLAIN),
        Column("tier", "w.tier", PLAIN),
        Column("approvals_needed", "w.approvals_needed", PLAIN),
        Column("approvals_given", "w.approvals_given", PLAIN),
        Column("review_reasons", "w.review_reasons", PLAIN),
        Column("refused_by", "w.refused_by", PLAIN),
        Column("reason", "w.reason", PLAIN),
        Column("tx_hash", "w.tx_hash", PLAIN),
        Column("ip", "host(r.ip)", PLAIN),
        Column("unusual_login", "r.unusual_login", PLAIN),
        Column("created_at", "w.created_at", MOMENT),
        Column("confirmed_at", "w.confirmed_at", MOMENT),
        Column("sending_at", "w.sending_at", MOMENT),
        Column("processed_at", "w.processed_at", MOMENT),
    ),
)
MODE_CHANGES = Overview(
    "routing_mode_logs",
    "id",
    (
        Column("id", "id", PLAIN),
        Column("symbol", "symbol", PLAIN),
        Column("from_mode", "from_mode", PLAIN),
        Column("to_mode", "to_mode", PLAIN),
        Column("trigger", "trigger", PLAIN),
        Column("pinned", "pinned", PLAIN),
        Column("operator", "operator_id", PLAIN),
        Column("net_exposure", "net_exposure_at_switch", NUMBER),
        Column("created_at", "created_at", MOMENT),
    ),
)
SERVICE_SWITCHES = Overview(
    "service_levels",
    "id",
    (
        Column("id", "id", PLAIN),
        Column("level", "level", PLAIN),
        Column("previous", "previous", PLAIN),
        Column("operator", "operator_id", PLAIN),
        Column("reason", "reason", PLAIN),
        Column("seq", "seq", PLAIN),
        Column("created_at", "created_at", MOMENT),
    ),
)
ALERTS = Overview(
    "alerts",
    "id",
    (
        Column("id", "id", PLAIN),
        Column("level", "level", PLAIN),
        Column("code", "code", PLAIN),
        Column("symbol", "symbol", PLAIN),
        Column("value", "value", NUMBER),
        Column("detail", "detail", PLAIN),
        Column("created_at", "created_at", MOMENT),
    ),
)
# Without the digests of routing decisions, of which there is one for each batch.
ACTS = Overview(
    "(select * from audit_log where action <> 'ROUTING_DECIDED') as acts",
    "id",
    (
        Column("id", "id", PLAIN),
        Column("actor", "actor", PLAIN),
        Column("action", "action", PLAIN),
        Column("subject", "subject", PLAIN),
        Column("detail", "detail", PLAIN),
        Column("seq", "seq", PLAIN),
        Column("at", "ts", NANOSECONDS),
    ),
)
BLACKLIST = Overview(
    "access.blacklist",
    "address",
    (
        Column("address", "address", PLAIN),
        Column("reason", "reason", PLAIN),
        Column("added_by", "added_by", PLAIN),
        Column("added_at", "added_at", MOMENT),
    ),
)
