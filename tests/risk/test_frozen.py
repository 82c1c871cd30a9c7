"""A book put down and taken up again is the same book, and bytes that are no book of ours do nothing."""

import os
import pickle
import subprocess
import sys
from collections import deque
from dataclasses import fields, is_dataclass
from decimal import Decimal
from enum import Enum
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule

from risk import frozen
from risk.book import Book
from risk.errors import InvalidInput
from risk.inputs import HlAccount, OrderSubmitted, VenuePositionsReported, WithdrawalSubmitted
from risk.ledger import Ledger
from risk.state import Position
from tests.risk.bad_inputs import bad_inputs
from tests.risk.book_builder import SPECS, START_NS, D, Desk, settings_with
from tests.risk.test_book_inputs import lively_desk
from tests.risk.test_book_machine import RISK, BookMachine

ROOT = Path(__file__).parents[2]


# ------------------------------------------------------------------------------------------ the same state


def assert_same(before: Book, after: Book) -> None:
    """Walk both books side by side: equal values of equal types, and one object there where one is here."""
    pairs: dict[int, int] = {}
    back: dict[int, int] = {}
    todo = [("core", before._core, after._core), ("opening", before.opening_events, after.opening_events)]
    while todo:
        path, a, b = todo.pop()
        if isinstance(a, str) and not isinstance(b, Enum):
            # A member used where only its text counts may come back as the text; a field of enums may not.
            assert a == b, path
            assert type(a) is type(b) or path == "core.reserve_level" or ".account_index" in path, path
            continue
        assert type(a) is type(b), path
        if a is None or isinstance(a, int | Enum | type | bool):
            assert a is b if type(a) is not int else a == b, path
            continue
        if isinstance(a, float | Decimal):
            assert repr(a) == repr(b), path  # −0 and trailing zeros included
            continue
        known = id(a) in pairs
        assert pairs.setdefault(id(a), id(b)) == id(b), f"{path} was shared otherwise"
        assert back.setdefault(id(b), id(a)) == id(a), f"{path} was shared otherwise"
        if not known:
            todo += parts(path, a, b)
    assert after._core.ledger._emit.__self__ is after._core.events


def parts(path, a, b):
    """List what two objects of one type consist of, side by side."""
    if isinstance(a, set):
        assert a == b, path
        assert set(map(type, a)) == set(map(type, b)), path
        return []
    if isinstance(a, dict):
        found = list(zip(a, b, strict=True)) + list(zip(a.values(), b.values(), strict=True))
        return [(f"{path}[{i % len(a)}]", x, y) for i, (x, y) in enumerate(found)]
    if isinstance(a, list | tuple | deque):
        assert len(a) == len(b), path
        return [(f"{path}[{i}]", x, y) for i, (x, y) in enumerate(zip(a, b, strict=True))]
    if hasattr(a, "__dict__"):
        assert vars(a).keys() == vars(b).keys(), path
        names = vars(a)
    else:
        names = [name for name in type(a).__slots__ if (type(a), name) != (Ledger, "_emit")]
        assert not is_dataclass(a) or {f.name for f in fields(a)} == set(names)
    return [(f"{path}.{name}", getattr(a, name), getattr(b, name)) for name in names]


def thawed(book: Book) -> Book:
    """Put a book down and take it up: the one given must not notice."""
    again = Book.thaw(book.freeze())
    assert_same(book, again)
    return again


class FrozenMachine(BookMachine):
    """Drive a book beside one that is put down and taken up again and again; ids are vouched for in a third."""

    twin = vouched = None

    def give(self, act, *args, **given_fields):
        if self.twin is None:
            self.twin = thawed(self.desk.book)
            self.vouched = Book(self.desk.specs, self.desk.settings, opened_ns=START_NS, ids_vouched_for=True)
            for given in self.desk.inputs:
                self.vouched.handle(given)
        known = len(self.desk.inputs)
        events = super().give(act, *args, **given_fields)
        (given,) = self.desk.inputs[known:]
        assert self.twin.handle(given) == events
        assert self.vouched.handle(given) == events
        self.compare()
        return events

    def compare(self):
        """Ask each what the shell asks after every input."""
        book = self.desk.book
        asked = book.digest(), book.next_timer_ns(), [book.bands(symbol) for symbol in SPECS]
        narrowed = book.take_narrowed()
        for other in (self.twin, self.vouched):
            assert (other.digest(), other.next_timer_ns(), [other.bands(symbol) for symbol in SPECS]) == asked
            assert other.take_narrowed() == narrowed

    @rule(vouched=st.booleans())
    def put_down(self, vouched):
        if vouched and self.vouched is not None:
            self.vouched = thawed(self.vouched)
        elif self.twin is not None:
            self.twin = thawed(self.twin)

    @rule(account=st.sampled_from(HlAccount), off=st.sampled_from([0, 1, 50]))
    def reported(self, account, off):
        book = self.desk.book
        said = tuple(
            (symbol, book.venue_position(account, symbol) * (1000 + off) / 1000) for symbol in sorted(SPECS)
        )
        self.give(self.desk.handle, VenuePositionsReported(self.desk.ts, account, said))

    @rule(data=st.data())
    def bad_input(self, data):
        bad, _ = data.draw(st.sampled_from(bad_inputs(self.desk)))
        for book in filter(None, (self.desk.book, self.twin, self.vouched)):
            with pytest.raises(InvalidInput):
                book.handle(bad)

    @invariant()
    def the_twin_is_the_same_to_the_last_float(self):
        if self.twin is not None:
            assert_same(self.desk.book, self.twin)

    def teardown(self):
        if self.vouched is not None:
            assert not self.vouched._core.seen_orders | self.vouched._core.seen_withdrawals


FrozenMachine.TestCase.settings = hypothesis_settings(max_examples=25, stateful_step_count=30)
TestFrozenMachine = FrozenMachine.TestCase


def test_a_book_put_down_anywhere_is_the_same():
    assert_same(Book({}, Desk().settings, opened_ns=1), thawed(Book({}, Desk().settings, opened_ns=1)))
    for desk in (Desk(), lively_desk(), Desk(settings_with(RISK))):
        assert thawed(desk.book).digest() == desk.book.digest()
        assert thawed(thawed(desk.book)).take_narrowed() == desk.book.take_narrowed()


def test_an_event_of_one_book_is_not_heard_in_the_other():
    desk = lively_desk()
    again = thawed(desk.book)
    before = desk.book.digest()
    desk.book, left = again, desk.book
    desk.sums = dict(left.balances)
    desk.deposit("ann", 5)
    assert left.digest() == before != again.digest()


def test_books_of_other_processes_are_taken_up_whatever_their_hash_seed():
    code = (
        "import sys; from tests.risk.test_book_inputs import lively_desk;"
        "sys.stdout.buffer.write(lively_desk().book.freeze())"
    )
    for seed in ("0", "1", "2"):
        data = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
            cwd=ROOT,
            capture_output=True,
            check=True,
        ).stdout
        assert_same(lively_desk().book, Book.thaw(data))


# -------------------------------------------------------------------------------------------- ids vouched for


def test_ids_vouched_for_are_not_remembered_and_others_are_after_a_thaw_too():
    desk = Desk()
    for vouched in (False, True):
        book = Book(SPECS, desk.settings, opened_ns=START_NS, ids_vouched_for=vouched)
        for given in desk.inputs:
            book.handle(given)
        order = OrderSubmitted(desk.ts, "again", "ann", "BTC", 1, D(1))
        withdrawal = WithdrawalSubmitted(desk.ts, "again", "ann", D(1))
        for given in (order, withdrawal):
            book.handle(given)
            book = thawed(book)
            if vouched:
                book.handle(given)
            else:
                with pytest.raises(InvalidInput, match="'again'; it must be new"):
                    book.handle(given)
        assert len(book._core.seen_orders | book._core.seen_withdrawals) == (0 if vouched else 1)


# ------------------------------------------------------------------------------------------- what is refused


def test_any_damage_is_found():
    data = lively_desk().book.freeze()
    cuts = [data[:n] for n in range(0, len(data), 97)] + [data[:-1], data + b"x", b"", b"\n", data[1:]]
    flips = [data[:n] + bytes([data[n] ^ 1]) + data[n + 1 :] for n in range(0, len(data), 89)]
    for bad in cuts + flips + [pickle.dumps(1), os.urandom(1000), pickle.dumps(data)]:
        with pytest.raises(InvalidInput, match="frozen book"):
            Book.thaw(bad)


def test_the_state_of_other_code_is_refused_and_both_versions_are_named():
    ours, other = frozen.state_version(), "0" * 32
    data = lively_desk().book.freeze().replace(ours.encode(), other.encode(), 1)
    with pytest.raises(InvalidInput, match=f"was {other}; this code reads {ours}"):
        Book.thaw(data)


def test_the_state_version_follows_every_field_and_member(monkeypatch):
    known = {frozen.state_version()}
    fields_of = frozen._fields
    try:
        for cls in frozen._CLASSES:
            monkeypatch.setattr(
                frozen, "_fields", lambda c, cls=cls: (*fields_of(c), "new") if c is cls else fields_of(c)
            )
            frozen.state_version.cache_clear()
            known.add(frozen.state_version())
        monkeypatch.undo()
        for name in ("_ENUMS", "_MEANING"):
            monkeypatch.setattr(frozen, name, frozen._ENUMS[1:] if name == "_ENUMS" else 0)
            frozen.state_version.cache_clear()
            known.add(frozen.state_version())
            monkeypatch.undo()
    finally:
        frozen.state_version.cache_clear()
    assert len(known) == 1 + len(frozen._CLASSES) + 2


def test_the_state_version_is_the_same_in_every_process():
    code = "from risk.frozen import state_version; print(state_version())"
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
        said = subprocess.check_output([sys.executable, "-c", code], env=environment, cwd=ROOT, text=True)
        assert said.strip() == frozen.state_version()


class Calls:
    """Be pickled as a call."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def by_name(module: str, name: str, *arguments: str) -> bytes:
    """Write the pickle that calls whatever a name stands for with texts."""
    texts = b"".join(b"\x8c" + bytes([len(text)]) + text.encode() for text in arguments)
    names = b"".join(b"\x8c" + bytes([len(text)]) + text.encode() for text in (module, name))
    return b"\x80\x04" + names + b"\x93(" + texts + b"tR."


def assigns(module: str, name: str, call: bytes, state: dict) -> bytes:
    """Write the pickle that assigns attributes to a name, or to what calling it gave."""
    names = b"".join(b"\x8c" + bytes([len(text)]) + text.encode() for text in (module, name))
    given = pickle.dumps((None, state), protocol=2)[2:-1]
    return b"\x80\x04" + names + b"\x93" + call + given + b"b."


def test_nothing_is_executed(tmp_path):
    trace = tmp_path / "trace"
    touch = f"touch {trace}"
    python = f"open({str(trace)!r}, 'w')"
    bodies = [
        pickle.dumps(Calls(os.system, touch)),
        pickle.dumps(Calls(eval, python)),
        pickle.dumps(Calls(exec, python)),
        pickle.dumps(Calls(subprocess.check_output, ["touch", str(trace)])),
        pickle.dumps(Calls(getattr, [], "append")),
        pickle.dumps(Calls(Book, {}, None)),
        pickle.dumps(Calls(sha256, b"")),
        pickle.dumps((Calls(Desk), ())),
        pickle.dumps(({}, Calls(os.system, touch))),
        b"cos\nsystem\n(V" + touch.encode() + b"\ntR.",
        b"(V" + touch.encode() + b"\nios\nsystem\n.",
        b"Pos.system\n.",
        by_name("os", "system", touch),
        by_name("builtins", "eval", python),
        by_name("risk.book", "Book.thaw", "x"),
        by_name("risk.state", "User.named", "ann"),
        by_name("risk.state", "User.named.__globals__", "x"),
        by_name("risk.frozen", "pickle.loads", "x"),
        by_name("risk.core", "Core", touch),
        by_name("decimal", "Decimal", "1e"),
        by_name("decimal", "getcontext"),
        by_name("risk.inputs", "HlAccount", "MINE"),
    ]
    for body in bodies:
        with pytest.raises(InvalidInput, match="no state of ours"):
            Book.thaw(frozen._seal(body))
    assert not trace.exists()


def test_the_same_bytes_would_have_been_executed_by_a_plain_unpickler(tmp_path):
    trace = tmp_path / "trace"
    pickle.loads(by_name("os", "system", f"touch {trace}"))
    assert trace.exists()


def test_no_class_and_no_member_can_be_spoilt():
    member = b"(\x8c\x05HEDGEtR"
    state = {"busy": True, "value": "TRADING", "_value_": "TRADING", "open": True, "as_tuple": 1, "append": 1}
    names = [(cls.__module__, cls.__qualname__) for cls in (*frozen._CLASSES, *frozen._ENUMS, Decimal, deque)]
    before = [dict(vars(cls)) for cls in (*frozen._CLASSES, *frozen._ENUMS)], dict(vars(HlAccount.HEDGE))
    bodies = [assigns(module, name, b"", state) for module, name in names]
    bodies.append(assigns("risk.inputs", "HlAccount", member, state))
    for body in bodies:
        with pytest.raises(InvalidInput):
            Book.thaw(frozen._seal(body))
    after = [dict(vars(cls)) for cls in (*frozen._CLASSES, *frozen._ENUMS)], dict(vars(HlAccount.HEDGE))
    assert after == before
    pickle.loads(assigns("risk.state", "Position", b"", {"spoilt": True}))  # by a plain unpickler it would be
    assert Position.spoilt
    del Position.spoilt


def forged(change) -> bytes:
    """Put a lively desk down with one thing in it that cannot be."""
    book = lively_desk().book
    change(book._core)
    return book.freeze()


@pytest.mark.parametrize(
    "change",
    [
        lambda core: vars(core).update(events=None),
        lambda core: vars(core).update(ledger=None),
        lambda core: vars(core).update(settings=None),
        lambda core: vars(core).update(account_level={"MINE": "NORMAL"}),
        lambda core: setattr(core.positions[1], "source", "MINE"),
        lambda core: setattr(core.positions[1], "margin_mode", None),
        lambda core: vars(core).update(index=None),
    ],
)
def test_a_state_that_cannot_be_is_refused(change):
    with pytest.raises(InvalidInput, match="no state of ours"):
        Book.thaw(forged(change))


def test_what_is_no_state_or_has_something_behind_it_is_refused():
    body = frozen._unseal(lively_desk().book.freeze())
    for bad in (body + b"x", pickle.dumps(5), pickle.dumps((1, 2)), pickle.dumps(({}, ())), b""):
        with pytest.raises(InvalidInput, match="no state of ours"):
            Book.thaw(frozen._seal(bad))


def test_a_row_of_another_length_is_refused(monkeypatch):
    fields_of = frozen._fields
    monkeypatch.setattr(frozen, "_fields", lambda cls: fields_of(cls)[: -1 if cls is Position else None])
    frozen._rows.cache_clear()
    frozen.state_version()  # kept: only the rows are shorter
    data = lively_desk().book.freeze()
    monkeypatch.undo()
    frozen._rows.cache_clear()
    with pytest.raises(InvalidInput, match="shorter"):
        Book.thaw(data)
