"""The databases of the tests of wallets, as those of the API have them."""

from tests.api.conftest import database, migrated  # noqa: F401
from tests.postgres import postgres  # noqa: F401
