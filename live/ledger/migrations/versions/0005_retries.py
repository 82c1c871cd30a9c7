"""What lets many requests at once, and answers that were lost, be told from guesses and theft."""

from pathlib import Path

from live.ledger.migrations.sql import run_file

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Run ``0005_retries.sql`` as it stands; there is no way back."""
    run_file(Path(__file__).with_suffix(".sql"))
