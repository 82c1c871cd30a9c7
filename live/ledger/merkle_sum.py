"""A Merkle-sum tree over balances: each node commits to its two children and their sums.

The hashes are those of ``live/verify_inclusion.py``, the file users get; the format is in
docs/proof-of-liabilities.md. After Maxwell's proof of liabilities, with each child's sum hashed by itself.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from live.verify_inclusion import EMPTY, hash_leaf, hash_node
from risk.errors import InvalidInput

LIMIT = 1 << 128  # no sum of micro-USDC reaches it


class Node(NamedTuple):
    """A hash over a part of the tree, and the micro-USDC in it."""

    hash: bytes
    sum: int


class Leaf(NamedTuple):
    """A user's balance in micro-USDC, with 32 bytes of salt that only they get to see."""

    user_id: str
    balance: int
    salt: bytes

    def node(self) -> Node:
        """Return the tree's node of it. Raises InvalidInput for a balance that 16 unsigned bytes do not hold."""
        if not 0 <= self.balance < LIMIT:
            raise InvalidInput(
                f"the balance of user {self.user_id} was {self.balance}; it must be from 0 to 2**128 - 1"
            )
        return Node(hash_leaf(self.salt, self.user_id, self.balance), self.balance)


class Tree:
    """All levels of a tree, the leaves first; a level of odd length counts an empty node behind its last.

    Raises InvalidInput if the sum of all leaves is no 16-byte number.
    """

    def __init__(self, leaves: Iterable[Node]) -> None:
        level = list(leaves)
        if sum(node.sum for node in level) >= LIMIT:
            raise InvalidInput("the balances sum to 2**128 micro-USDC or more; a tree holds less")
        self.levels = [level or [PADDING]]
        while len(self.levels[-1]) > 1:
            self.levels.append(_level_above(self.levels[-1]))

    @property
    def top(self) -> Node:
        """Return the node over everything."""
        return self.levels[-1][0]

    def path(self, place: int) -> list[Node]:
        """Return the nodes beside the way from leaf ``place`` to the top, the lowest first."""
        if not 0 <= place < len(self.levels[0]):
            raise IndexError(place)
        beside = []
        for level in self.levels[:-1]:
            neighbour = place ^ 1
            beside.append(level[neighbour] if neighbour < len(level) else PADDING)
            place >>= 1
        return beside


PADDING = Node(EMPTY, 0)


def arrange(leaves: Iterable[Leaf]) -> list[tuple[Node, Leaf]]:
    """Order leaves by their salted hash: a place tells nothing of who has it, nor of their balance."""
    return sorted((leaf.node(), leaf) for leaf in leaves)


def _level_above(level: Sequence[Node]) -> list[Node]:
    padded = [*level, PADDING] if len(level) % 2 else level
    pairs = zip(padded[::2], padded[1::2], strict=True)
    return [Node(hash_node(*left, *right), left.sum + right.sum) for left, right in pairs]
