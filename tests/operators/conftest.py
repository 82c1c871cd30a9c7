"""The database of the tests of operators: one, emptied before each."""

from tests.one_database import database, migrated, one_database, postgres  # noqa: F401
