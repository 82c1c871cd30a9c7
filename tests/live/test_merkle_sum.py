"""The Merkle-sum tree against one built by recursion, and the verifier against every change of a proof."""

import copy
import json
import shutil
import subprocess
import sys
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from live import verify_inclusion
from live.ledger.liabilities import Publication
from live.ledger.merkle_sum import LIMIT, Leaf, Tree, arrange
from risk.errors import InvalidInput

BALANCES = st.one_of(st.just(0), st.integers(0, 10**7), st.integers(0, 10**30))
SALTS = st.binary(min_size=32, max_size=32)


@st.composite
def salted_leaves(draw: st.DrawFn, least: int = 0) -> list[Leaf]:
    names = draw(st.lists(st.text(st.characters(codec="utf-8")), unique=True, min_size=least, max_size=20))
    return [Leaf(name, draw(BALANCES), draw(SALTS)) for name in names]


def publication(leaves: list[Leaf], seq: int = 41, time_us: int = 1_700_000_000_000_000) -> Publication:
    arranged = arrange(leaves)
    return Publication(seq, time_us, [leaf for _, leaf in arranged], Tree(node for node, _ in arranged))


def holds(proof: Any, root: bytes, total: int) -> bool:
    try:
        verify_inclusion.verify(proof, root, total)
    except (ValueError, OverflowError):
        return False
    return True


# -- the oracle: the format as the documentation has it, over lists of leaves split in two


def number(value: int) -> bytes:
    return bytes(value >> shift & 255 for shift in range(120, -8, -8))


def slow_leaf(leaf: Leaf) -> tuple[bytes, int]:
    name = leaf.user_id.encode()
    text = b"\0" + leaf.salt + bytes([0, 0, len(name) >> 8, len(name) & 255]) + name + number(leaf.balance)
    return sha256(text).digest(), leaf.balance


def slow_top(nodes: list[tuple[bytes, int]], depth: int) -> tuple[bytes, int]:
    if not nodes:
        return sha256(b"\x02").digest(), 0
    if depth == 0:
        return nodes[0]
    half = 1 << (depth - 1)
    (left, left_sum), (right, right_sum) = (
        slow_top(part, depth - 1) for part in (nodes[:half], nodes[half:])
    )
    text = b"\x01" + left + number(left_sum) + right + number(right_sum)
    return sha256(text).digest(), left_sum + right_sum


@given(salted_leaves())
def test_the_top_is_that_of_the_tree_built_by_recursion(leaves: list[Leaf]) -> None:
    nodes = sorted(map(slow_leaf, leaves))
    depth = 0
    while 1 << depth < len(nodes):
        depth += 1
    top, total = slow_top(nodes, depth)
    made = publication(leaves)
    assert made.tree.top == (top, total)
    published = [len(leaves), 41, 1_700_000_000_000_000]
    text = b"\x03" + top + number(total) + b"".join(number(each)[8:] for each in published)
    assert made.root == sha256(text).digest()


@given(salted_leaves(least=1))
def test_everybody_is_proven_to_be_in_the_total(leaves: list[Leaf]) -> None:
    made = publication(leaves)
    total = sum(leaf.balance for leaf in leaves)
    for leaf in leaves:
        proof = json.loads(json.dumps(made.proof(leaf.user_id)))
        assert (proof["user_id"], Decimal(proof["balance"]) * 10**6) == (leaf.user_id, leaf.balance)
        assert holds(proof, made.root, total)


@given(salted_leaves(least=2), st.data())
def test_nobody_is_proven_with_the_proof_of_another(leaves: list[Leaf], data: st.DataObject) -> None:
    made = publication(leaves)
    total = made.tree.top.sum
    mine, other = (made.proof(leaf.user_id) for leaf in data.draw(st.permutations(leaves))[:2])
    for key in ("user_id", "salt", "place", "path"):
        assert mine[key] == other[key] or not holds(mine | {key: other[key]}, made.root, total)


# -- every change of a proof


def changed(value: Any) -> list[Any]:
    """Give other values a liar may put in the place of this one."""
    if isinstance(value, int):
        return [
            value + 1,
            value - 1,
            -value - 1,
            value ^ 2,
            str(value),
            float(value),
            None,
            1 << 63,
            1 << 200,
        ]
    if isinstance(value, list):
        shorter = [value[:-1], value[1:]] if value else []
        step = {"hash": verify_inclusion.EMPTY.hex(), "sum": "0"}
        return [*shorter, [*value, step], [step, *value], value[::-1] if value != value[::-1] else None, None]
    flipped = [value[:i] + chr(ord(value[i]) ^ 1) + value[i + 1 :] for i in range(len(value))]
    return [*flipped, value + "0" if "." not in value else value + "1", "-" + value, "1" + value, "", None, 7]


def tampered(proof: dict[str, Any]) -> list[dict[str, Any]]:
    found = [proof | {key: other} for key, value in proof.items() for other in changed(value)]
    found += [{k: v for k, v in proof.items() if k != key} for key in proof]
    found.append(proof | {"more": 1})
    for at, step in enumerate(proof["path"]):
        for key in step:
            for other in [*changed(step[key]), "-1", "NaN", " 1", "1e3", "٣", str(2**128)]:
                if other != step[key]:
                    lie = copy.deepcopy(proof)
                    lie["path"][at][key] = other
                    found.append(lie)
    return found


@pytest.mark.parametrize("users", [1, 2, 3, 5, 8])
def test_every_change_of_a_proof_is_refused(users: int) -> None:
    leaves = [Leaf(f"user-{i}", 1_500_001 * i + 1, bytes([i + 1]) * 32) for i in range(users)]
    made = publication(leaves)
    total = made.tree.top.sum
    for leaf in leaves:
        proof = made.proof(leaf.user_id)
        assert holds(proof, made.root, total)
        for lie in tampered(proof):
            assert not holds(lie, made.root, total), lie
        for wrong in (total + 1, total - 1, 0):
            assert not holds(proof, made.root, wrong)
        assert not holds(proof, bytes(32), total)


@given(salted_leaves(least=1), st.data())
def test_moving_money_between_nodes_of_a_path_is_refused(leaves: list[Leaf], data: st.DataObject) -> None:
    made = publication(leaves)
    proof = made.proof(data.draw(st.sampled_from(leaves)).user_id)
    sums = [proof, *proof["path"]]
    amount = data.draw(st.integers(1, 10**9))
    into, out_of = data.draw(st.sampled_from(sums)), data.draw(st.sampled_from(sums))
    for place, change in ((into, amount), (out_of, -amount)):
        key = "balance" if place is proof else "sum"
        place[key] = str(Decimal(place[key]) + Decimal(change).scaleb(-6))
    assert into is out_of or not holds(proof, made.root, made.tree.top.sum)


def test_a_sum_below_zero_does_not_hide_a_liability() -> None:
    """Build the lie by hand: 100 owed to ann beside −100 owed to nobody, all hashed as the format says."""
    ann = Leaf("ann", 100, bytes(32))
    wrapped = (LIMIT - 100).to_bytes(16, "big")  # −100 as sixteen bytes that overflow
    beside = bytes(32)
    proof = publication([ann, Leaf("bob", 0, bytes(32))]).proof("ann")
    top = sha256(b"\x01" + slow_leaf(ann)[0] + number(100) + beside + wrapped).digest()
    root = verify_inclusion.hash_root(top, 0, 2, proof["seq"], proof["time_us"])
    for amount in ("-0.0001", f"{LIMIT - 100}"[:-6] + "." + f"{LIMIT - 100}"[-6:]):
        lie = proof | {"place": 0, "path": [{"hash": beside.hex(), "sum": amount}]}
        assert not holds(lie, root, 0)


def test_the_padding_can_stand_for_nothing_but_itself() -> None:
    """A hash that is no user's cannot be slipped in where the format has the empty node."""
    leaves = [Leaf(f"user-{i}", 5, bytes([i]) * 32) for i in range(3)]
    made = publication(leaves)
    last = made.leaves[2]
    proof = made.proof(last.user_id)
    hidden = Leaf("hidden", 0, bytes(32)).node()
    right = verify_inclusion.hash_node(*last.node(), *hidden)
    left = made.tree.levels[1][0]
    root = verify_inclusion.hash_root(
        verify_inclusion.hash_node(*left, right, 5), 15, 3, proof["seq"], proof["time_us"]
    )
    proof["path"][0]["hash"] = hidden.hash.hex()
    assert not holds(proof, root, 15)


def test_a_tree_of_fewer_users_than_it_claims_is_refused() -> None:
    made = publication([Leaf(f"user-{i}", 5, bytes([i]) * 32) for i in range(2)])
    proof = made.proof("user-0") | {"users": 4}
    root = verify_inclusion.hash_root(*made.tree.top, 4, proof["seq"], proof["time_us"])
    assert not holds(proof, root, 10)


# -- the tree's own limits


@pytest.mark.parametrize("balance", [-1, LIMIT])
def test_a_leaf_holds_sixteen_unsigned_bytes(balance: int) -> None:
    with pytest.raises(InvalidInput, match=f"user ann was {balance}"):
        Leaf("ann", balance, bytes(32)).node()


def test_a_sum_that_overflows_is_refused() -> None:
    halves = [Leaf(name, LIMIT // 2, bytes(32)).node() for name in ("ann", "bob")]
    with pytest.raises(InvalidInput, match=r"2\*\*128"):
        Tree(halves)
    assert Tree(halves[:1]).top.sum == LIMIT // 2


def test_who_comes_first_depends_on_the_salt_alone() -> None:
    """Of many trees over the same two balances, either comes first about as often."""
    first = 0
    for i in range(200):
        salts = [sha256(b"%d %d" % (i, j)).digest() for j in range(2)]
        (_, leaf), _ = arrange([Leaf("rich", 10**12, salts[0]), Leaf("poor", 1, salts[1])])
        first += leaf.user_id == "rich"
    assert 70 < first < 130


def test_a_user_without_a_leaf_has_no_proof() -> None:
    with pytest.raises(InvalidInput, match="user was 'eve'"):
        publication([Leaf("ann", 1, bytes(32))]).proof("eve")


# -- the file that users get


def run_verifier(folder: Path, proof: str | bytes, root: str, total: str) -> subprocess.CompletedProcess[str]:
    """Run the file where nothing else is, with no site packages and no project on the path."""
    script = folder / "verify_inclusion.py"
    if not script.exists():
        shutil.copy(verify_inclusion.__file__, script)
    (folder / "proof.json").write_bytes(proof if isinstance(proof, bytes) else proof.encode())
    command = [sys.executable, "-I", "-S", script.name, "proof.json", f"--root={root}", f"--total={total}"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)


def test_the_file_alone_proves_and_refuses(tmp_path: Path) -> None:
    leaves = [Leaf(f"user-{i}", 1_234_567 * (i + 1), bytes([i]) * 32) for i in range(5)]
    made = publication(leaves)
    root, total, proof = made.root.hex(), "18.518505", json.dumps(made.proof("user-2"))
    assert Decimal(total) == made.total
    good = run_verifier(tmp_path, proof, root, total)
    assert (good.returncode, good.stderr) == (0, "")
    assert good.stdout == "PROVEN: 3.703701 USDC of user 'user-2' are in the total\n"
    for content, why in (
        (proof.replace("3.703701", "3.7037"), "the tree holds"),
        (proof.replace('"seq"', '"seq": 41, "seq"'), "names one thing twice"),
        ("[]", "no proof"),
        ("{", "NOT PROVEN"),
        (b"\xff\xfe\xff", "NOT PROVEN"),
        ("[" * 100_000, "NOT PROVEN"),
        (proof.replace("user-2", "\\ud800"), "NOT PROVEN"),
    ):
        bad = run_verifier(tmp_path, content, root, total)
        assert (bad.returncode, bad.stdout) == (1, "")
        assert why in bad.stderr
        assert "Traceback" not in bad.stderr
    unusable = [run_verifier(tmp_path, proof, *given) for given in ((root[:-1], total), (root, "-1"))]
    assert [run.returncode for run in unusable] == [2, 2]


def test_the_file_is_short_and_needs_only_the_standard_library() -> None:
    source = Path(verify_inclusion.__file__).read_text()
    assert len(source.splitlines()) <= 120
    imported = {
        line.split()[1].split(".")[0] for line in source.splitlines() if line.startswith(("import ", "from "))
    }
    assert imported <= set(sys.stdlib_module_names)
