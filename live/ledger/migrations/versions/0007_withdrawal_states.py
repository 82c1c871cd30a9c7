"""Every state that a withdrawal went through, and when; its fee is an entry of its own in the journal."""

from pathlib import Path

from live.ledger.migrations.sql import run_file

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Run ``0007_withdrawal_states.sql`` as it stands; there is no way back."""
    run_file(Path(__file__).with_suffix(".sql"))
