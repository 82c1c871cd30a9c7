"""Which withdrawals are being confirmed, for as long as nobody knows whether the books took it."""

from pathlib import Path

from live.ledger.migrations.sql import run_file

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Run ``0010_confirmations.sql`` as it stands; there is no way back."""
    run_file(Path(__file__).with_suffix(".sql"))
