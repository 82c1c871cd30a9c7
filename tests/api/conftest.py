"""The database of a test of the API: a copy of one that was migrated once."""

import pytest

from tests.live.books import database  # noqa: F401
from tests.postgres import Postgres, postgres  # noqa: F401
from tests.redis_server import redis_url, shared_redis  # noqa: F401


@pytest.fixture(scope="session")
def migrated(postgres: Postgres) -> str:  # noqa: F811
    """Give the name of a database with all tables and no rows."""
    return postgres.migrated
