"""The database of a folder of tests: one, emptied before each."""

import pytest

from tests.api.conftest import migrated  # noqa: F401
from tests.emptied import Emptied
from tests.postgres import Postgres, postgres  # noqa: F401


@pytest.fixture(scope="session")
def one_database(postgres: Postgres, migrated: str) -> Emptied:  # noqa: F811
    """Give the database of all these tests."""
    return Emptied(postgres.new_database("one_database", migrated))


@pytest.fixture
def database(one_database: Emptied) -> str:
    """Give the address of a migrated database without rows."""
    return one_database.empty()
