"""Deposits, withdrawals and hot wallets in every state they have, and what readers look rows up by."""

from pathlib import Path

from live.ledger.migrations.sql import run_file

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Run ``0002_wallets.sql`` as it stands; there is no way back."""
    run_file(Path(__file__).with_suffix(".sql"))
