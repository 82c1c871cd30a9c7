"""Who may use which of the operators' routes: their table of permissions as dependencies."""

from typing import Annotated, Any

from fastapi import Path

from live.api.auth import operator
from live.api.reads.filters import Id
from live.api.wording import worded
from live.operators.permissions import PERMISSIONS, Permission

PREFIX = "/operator"
UserName = Annotated[
    str, Path(pattern=worded(r"^[\x21-\x7e]{1,100}$", "an account's id"), examples=["uabcdefghijklmnopqrst"])
]
SymbolName = Annotated[
    str, Path(pattern=worded(r"^[A-Za-z0-9:@._-]{1,40}$", "a symbol such as BTC"), examples=["BTC"])
]
WITHDRAWAL = worded(r"^w[0-9]{1,18}$", "a withdrawal's id, such as w1207")
WithdrawalName = Annotated[str, Path(pattern=WITHDRAWAL, examples=["w1207"])]
OrderName = Annotated[
    str, Path(pattern=worded(r"^o[0-9]{1,18}$", "an order's id, such as o1207"), examples=["o1207"])
]
ProposalName = Annotated[Id, Path()]


def may(permission: Permission) -> Any:
    """Return the dependency that gives an operator who has a permission."""
    return operator(*PERMISSIONS[permission])
