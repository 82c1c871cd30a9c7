"""Accounts, sessions and keys, in a schema of their own."""

from pathlib import Path

from live.ledger.migrations.sql import run_file

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Run ``0003_access.sql`` as it stands; there is no way back."""
    run_file(Path(__file__).with_suffix(".sql"))
