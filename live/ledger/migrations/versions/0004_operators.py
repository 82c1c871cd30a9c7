"""Operators, what they propose, and who approved it."""

from pathlib import Path

from live.ledger.migrations.sql import run_file

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Run ``0004_operators.sql`` as it stands; there is no way back."""
    run_file(Path(__file__).with_suffix(".sql"))
