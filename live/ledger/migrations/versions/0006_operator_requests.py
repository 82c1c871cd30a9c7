"""What operators asked for under which key."""

from pathlib import Path

from live.ledger.migrations.sql import run_file

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Run ``0006_operator_requests.sql`` as it stands; there is no way back."""
    run_file(Path(__file__).with_suffix(".sql"))
