"""How a migration runs its SQL."""

from pathlib import Path

from alembic import op


def run_file(path: Path) -> None:
    """Run the statements of a file as they stand."""
    driver = op.get_bind().connection.driver_connection
    assert driver is not None
    driver.execute(path.read_text())  # SQLAlchemy would take % for a parameter
