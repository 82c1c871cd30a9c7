"""What is said over the stream.

The client says one of
    {"auth": {"token": …}} or {"auth": {"key": …, "timestamp": …, "signature": …, "recv_window": …}}, each as text
    {"subscribe": ["orders", …], "after": SEQ}      ``after`` asks for what was missed since then; it may be left out
    {"unsubscribe": ["orders", …]}
    {"ping": N}

The server says
    {"type": "authenticated", "user": …}
    {"type": "update", "seq": SEQ, "orders": [...], …}   all that one commit changed, in the channels subscribed to
    {"type": "subscribed", "channels": [...], "seq": SEQ}   from here on all updates after SEQ follow
    {"type": "unsubscribed", "channels": [...]}
    {"type": "marks", "marks": {"BTC": {"mark": …, "bid": …, "ask": …}, …}}
    {"type": "heartbeat", "seq": SEQ}                there is nothing up to SEQ that was not sent
    {"type": "pong", "ping": N}
    {"type": "error", "code": …, "detail": …}
and closes with one of the codes here; the reason of TOO_SLOW is {"seq": SEQ}, the last update that was sent.
"""

from typing import Annotated, Any, NamedTuple

import msgspec

from live.api.json_faults import fault_of
from live.api.reads.fills import FILLS
from live.api.reads.listing import LARGEST_ID, Listing
from live.api.reads.money import BALANCES, LIQUIDATIONS
from live.api.reads.orders import ORDERS
from live.api.reads.positions import POSITIONS
from live.api.stream.misread import misread
from live.api.unique_names import names_twice
from risk.errors import InvalidInput

PRIVATE: dict[str, Listing] = {
    "orders": ORDERS,
    "fills": FILLS,
    "positions": POSITIONS,
    "liquidations": LIQUIDATIONS,
    "balances": BALANCES,
}
MARKS = "marks"
CHANNELS = (*PRIVATE, MARKS)
LONGEST_MESSAGE = 4_096  # characters

GOING_AWAY = 1001
UNSUPPORTED = 1003
MESSAGE_TOO_BIG = 1009
INTERNAL = 1011
TRY_LATER = 1013
NOT_AUTHENTICATED = 4401
NOT_PERMITTED = 4403
TOO_SLOW = 4408
TOO_MANY = 4429


class Auth(msgspec.Struct, forbid_unknown_fields=True):
    """Say who it is: by an access token, or by an API key that signed GET /v1/stream with an empty body."""

    token: str | None = None
    key: str | None = None
    timestamp: str | None = None
    signature: str | None = None
    recv_window: str | None = None


class Said(msgspec.Struct, forbid_unknown_fields=True):
    """Hold one message of a client; exactly one of the first four is given."""

    auth: Auth | None = None
    subscribe: tuple[str, ...] | None = None
    unsubscribe: tuple[str, ...] | None = None
    ping: Annotated[int, msgspec.Meta(ge=0, le=LARGEST_ID)] | None = None
    after: Annotated[int, msgspec.Meta(ge=0, le=LARGEST_ID)] | None = None


class Closing(Exception):
    """End a connection with a code of the protocol."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class Missed(NamedTuple):
    """Say that commits after input ``after`` may not have been told of: they are read from the database."""

    after: int


_decode = msgspec.json.Decoder(Said).decode
_encode = msgspec.json.Encoder().encode


def read(text: str) -> Said:
    """Read what a client said; raises InvalidInput for anything else, Closing for what is too long."""
    if len(text) > LONGEST_MESSAGE:
        raise Closing(MESSAGE_TOO_BIG, f"a message may have {LONGEST_MESSAGE} characters")
    try:
        said = _decode(text)
    except msgspec.ValidationError as error:
        raise InvalidInput(misread(str(error))) from None
    except msgspec.MsgspecError:
        raise InvalidInput(f"the message {fault_of(text)}") from None
    if twice := names_twice(text, "message"):
        raise InvalidInput(f"{'.'.join(map(str, twice[0]))} was given more than once; it must be given once")
    given = [part for part in (said.auth, said.subscribe, said.unsubscribe, said.ping) if part is not None]
    if len(given) != 1:
        raise InvalidInput("a message must have one of auth, subscribe, unsubscribe and ping")
    if said.after is not None and said.subscribe is None:
        raise InvalidInput("after must come with subscribe")
    for name in (*(said.subscribe or ()), *(said.unsubscribe or ())):
        if name not in CHANNELS:
            raise InvalidInput(f"channel was {name!r}; it must be one of {', '.join(CHANNELS)}")
    return said


def as_headers(auth: Auth) -> list[tuple[bytes, bytes]]:
    """Return the headers that would have said the same."""
    values = {
        "authorization": None if auth.token is None else f"Bearer {auth.token}",
        "hp-key": auth.key,
        "hp-timestamp": auth.timestamp,
        "hp-signature": auth.signature,
        "hp-recv-window": auth.recv_window,
    }
    return [
        (name.encode(), text.encode("latin-1", "replace"))
        for name, text in values.items()
        if text is not None
    ]


def write(kind: str, **fields: Any) -> str:
    """Write a message of the server."""
    return _encode({"type": kind, **fields}).decode()
