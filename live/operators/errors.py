"""Why an operator's act is not done; the books' own refusals come as answers."""

from risk.errors import HybridPerpsError


class NotPermitted(HybridPerpsError):
    """Say that this operator may not do that."""


class FourEyesNeeded(NotPermitted):
    """Say that this needs a second person, who is not this one."""


class OperatorNotFound(HybridPerpsError):
    """Say that there is no such operator, account, user, order, withdrawal or proposal."""


class Conflict(HybridPerpsError):
    """Say that things are no longer, or not yet, so that it could be done."""
