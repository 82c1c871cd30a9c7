"""Books that the released version wrote open with this one, or a migration refuses them."""

from live.ledger.codec import KINDS
from live.ledger.recovery import BooksBroken
from tests.live.released import HOW, journal, made, replayed

FORGOTTEN = (
    "books of the released version would not open: refuse them in a migration, as 0009_told_operators.sql does, "
    f"and renew this fixture by `{HOW}`"
)


def test_released_books_lead_to_what_they_led_to() -> None:
    rows = journal()
    done = 0
    try:
        for row, machine in replayed(rows):
            assert made(machine) == row["made"], (
                f"input {row['seq']} ({row['kind']}) makes other rows: {FORGOTTEN}"
            )
            done += 1
    except BooksBroken as error:
        raise AssertionError(f"{error}: {FORGOTTEN}") from None
    assert done == len(rows)


def test_they_have_inputs_of_every_kind() -> None:
    missing = KINDS.keys() - {row["kind"] for row in journal()}
    assert not missing, f"{sorted(missing)} are in no released books: renew them by `{HOW}`"


def test_they_have_a_stop_that_ended_with_its_position() -> None:
    ended = [
        row for _, machine in replayed(journal()) for row in machine.batch.rows().values() for row in row
        if getattr(row, "type", None) == "STOP_LOSS" and getattr(row, "status", None) == "CANCELLED"
    ]  # fmt: skip
    assert ended
