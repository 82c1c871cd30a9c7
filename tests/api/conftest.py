"""The database of a test of the API: a copy of one that was migrated once."""

import pytest

from live.ledger.migrate import upgrade
from tests.postgres import Postgres, postgres  # noqa: F401
from tests.redis_server import redis_url, shared_redis  # noqa: F401


@pytest.fixture(scope="session")
def migrated(postgres: Postgres) -> str:  # noqa: F811
    """Give the name of a database with all tables and no rows."""
    upgrade(postgres.new_database("api_template"))
    return "api_template"


@pytest.fixture
def database(postgres: Postgres, migrated: str, request: pytest.FixtureRequest) -> str:  # noqa: F811
    """Give the address of a migrated database that this test alone uses."""
    name = "api_" + "".join(c if c.isalnum() else "_" for c in request.node.name)[:50].lower()
    return postgres.new_database(name, migrated)
