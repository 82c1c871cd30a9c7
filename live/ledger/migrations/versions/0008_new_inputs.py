"""Inputs with reasons and approvals: journals without them are refused."""

from pathlib import Path

from live.ledger.migrations.sql import run_file

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Run ``0008_new_inputs.sql`` as it stands; there is no way back."""
    run_file(Path(__file__).with_suffix(".sql"))
