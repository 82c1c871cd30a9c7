"""The tables of the books."""

from pathlib import Path

from live.ledger.migrations.sql import run_file

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Run ``0001_books.sql`` as it stands; there is no way back."""
    run_file(Path(__file__).with_suffix(".sql"))
