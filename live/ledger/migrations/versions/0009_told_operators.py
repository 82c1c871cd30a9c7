"""What operators are told: why a proposal failed, and the acts about one withdrawal or proposal."""

from pathlib import Path

from live.ledger.migrations.sql import run_file

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Run ``0009_told_operators.sql`` as it stands; there is no way back."""
    run_file(Path(__file__).with_suffix(".sql"))
