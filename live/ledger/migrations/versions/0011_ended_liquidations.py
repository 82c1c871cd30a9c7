"""Cross liquidations end when the account is healthy: books in which one may not have are refused."""

from pathlib import Path

from live.ledger.migrations.sql import run_file

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Run ``0011_ended_liquidations.sql`` as it stands; there is no way back."""
    run_file(Path(__file__).with_suffix(".sql"))
