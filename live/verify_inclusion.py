"""Check that a user's balance is counted in a published total: this file alone, any Python from 3.9.

    python verify_inclusion.py PROOF.json --root HEX --total AMOUNT

PROOF.json comes from the platform, HEX and AMOUNT from wherever it publishes them for everybody. The exit code is 0
if it holds, 1 if not, 2 if it could not be tried. The format: docs/proof-of-liabilities.md, "The hashes".
"""

import argparse
import json
import re
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

FORMAT = "hybrid-perps/liabilities/1"
KEYS = {"format", "user_id", "balance", "salt", "place", "users", "seq", "time_us", "path"}
EMPTY = sha256(b"\x02").digest()  # stands beside the last node of an odd level; its sum is zero


def unsigned(amount: int) -> bytes:
    """Write micro-USDC as 16 bytes; raises OverflowError below zero and from 2**128 on."""
    return amount.to_bytes(16, "big")


def hash_leaf(salt: bytes, user_id: str, balance: int) -> bytes:
    """Hash a user's balance with 32 bytes of salt."""
    name = user_id.encode()
    return sha256(b"\x00" + salt + len(name).to_bytes(4, "big") + name + unsigned(balance)).digest()


def hash_node(left: bytes, left_sum: int, right: bytes, right_sum: int) -> bytes:
    """Hash two nodes with their sums, each by itself: were only the two together hashed, one could be shrunk."""
    return sha256(b"\x01" + left + unsigned(left_sum) + right + unsigned(right_sum)).digest()


def hash_root(top: bytes, total: int, users: int, seq: int, time_us: int) -> bytes:
    """Hash the tree's top with what is published beside it."""
    figures = b"".join(number.to_bytes(8, "big", signed=True) for number in (users, seq, time_us))
    return sha256(b"\x03" + top + unsigned(total) + figures).digest()


def read_amount(text: object) -> int:
    """Read micro-USDC from a decimal text of USDC: digits, perhaps a point and one to six more."""
    found = re.fullmatch(r"(0|[1-9][0-9]{0,32})(?:\.([0-9]{1,6}))?", text) if isinstance(text, str) else None
    if not found:
        raise ValueError(f"an amount was {text!a}; it must be USDC as a text like 12.345678, not negative")
    return int(found[1]) * 10**6 + int((found[2] or "").ljust(6, "0"))


def read_hash(text: object) -> bytes:
    """Read 32 bytes from 64 hexadecimal digits."""
    if not isinstance(text, str) or not re.fullmatch("[0-9a-fA-F]{64}", text):
        raise ValueError(f"a hash or salt was {text!a}; it must be 64 hexadecimal digits")
    return bytes.fromhex(text)


def read_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make a dict of a JSON object, in which no name may stand twice: readers would differ on which counts."""
    if len(dict(pairs)) < len(pairs):
        raise ValueError("the file names one thing twice")
    return dict(pairs)


def check_shape(proof: Any) -> None:
    """Raise ValueError unless the proof has exactly the fields it must have, each of its type."""
    if not isinstance(proof, dict) or set(proof) != KEYS or proof["format"] != FORMAT:
        raise ValueError(f"the file is no proof of the format {FORMAT}")
    place, users, path = proof["place"], proof["users"], proof["path"]
    if not all(type(proof[name]) is int for name in ("place", "users", "seq", "time_us")):
        raise ValueError("place, users, seq and time_us must be integers")
    if type(proof["user_id"]) is not str or type(path) is not list or not 0 <= place < users:
        raise ValueError(f"user_id must be a text, path a list, and place {place} one of {users} users")
    steps = [isinstance(step, dict) and set(step) == {"hash", "sum"} for step in path]
    if not all(steps) or len(steps) != (users - 1).bit_length():
        raise ValueError(f"the path must have {(users - 1).bit_length()} steps, each a hash and a sum")


def verify(proof: Any, root: bytes, total: int) -> None:
    """Raise ValueError or OverflowError unless ``proof`` shows its balance in ``total`` micro-USDC under ``root``."""
    check_shape(proof)
    place, width, running = proof["place"], proof["users"], read_amount(proof["balance"])
    node = hash_leaf(read_hash(proof["salt"]), proof["user_id"], running)
    for step in proof["path"]:
        beside, amount = read_hash(step["hash"]), read_amount(step["sum"])
        if place ^ 1 >= width and (beside, amount) != (EMPTY, 0):
            raise ValueError("beside the last node of an odd level only the empty one may stand")
        pair = (beside, amount, node, running) if place & 1 else (node, running, beside, amount)
        node, running = hash_node(*pair), running + amount
        if running > total:
            raise ValueError(f"a part of the tree holds {running} micro-USDC, more than the total, {total}")
        place, width = place >> 1, (width + 1) >> 1
    if running != total:
        raise ValueError(f"the tree holds {running} micro-USDC; the published total is {total}")
    if hash_root(node, total, proof["users"], proof["seq"], proof["time_us"]) != root:
        raise ValueError("the path leads to another root than the published one")


def main() -> None:
    """Check the file named on the command line, and exit with the verdict."""
    parser = argparse.ArgumentParser(description="Check that a balance is counted in a published total.")
    parser.add_argument("proof", metavar="PROOF.json")
    parser.add_argument("--root", required=True, metavar="HEX", help="the published root")
    parser.add_argument("--total", required=True, metavar="AMOUNT", help="the published total, in USDC")
    given = parser.parse_args()
    try:
        root, total, content = read_hash(given.root), read_amount(given.total), Path(given.proof).read_bytes()
    except (OSError, ValueError) as error:
        parser.error(str(error))
    try:
        proof = json.loads(content, object_pairs_hook=read_object)
        verify(proof, root, total)
    except (ValueError, OverflowError, RecursionError) as error:
        sys.exit(f"NOT PROVEN: {error}")
    sys.stdout.write("PROVEN: {balance} USDC of user {user_id!a} are in the total\n".format_map(proof))


if __name__ == "__main__":
    main()
