"""Reading foreign JSON: every complaint names the path of the field it is about."""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from risk.errors import InvalidInput
from risk.numbers import to_decimal


@dataclass(frozen=True, slots=True)
class JsonNode:
    """Hold one value of a JSON document with its path, such as ``state.assetPositions[3].position``."""

    value: object
    path: str

    def get(self, key: str) -> "JsonNode":
        """Step into a field that must be there and not be null."""
        node = self.find(key)
        if node is None:
            raise InvalidInput(f"{self.path}.{key} was missing; Hyperliquid's JSON has it")
        return node

    def find(self, key: str) -> "JsonNode | None":
        """Step into a field; None where it is absent or null."""
        if not isinstance(self.value, dict):
            raise InvalidInput(f"{self.path} was {self._shown()}; it must be a JSON object")
        value = self.value.get(key)
        return None if value is None else JsonNode(value, f"{self.path}.{key}")

    def __iter__(self) -> "Iterator[JsonNode]":
        """Step through the items of an array."""
        if not isinstance(self.value, list | tuple):
            raise InvalidInput(f"{self.path} was {self._shown()}; it must be a JSON array")
        return (JsonNode(item, f"{self.path}[{i}]") for i, item in enumerate(self.value))

    def text(self) -> str:
        """Give a string."""
        if not isinstance(self.value, str):
            raise InvalidInput(f"{self.path} was {self._shown()}; it must be a string")
        return self.value

    def decimal(self) -> Decimal:
        """Give a number, written as a decimal string (as Hyperliquid does) or as a JSON number."""
        return to_decimal(self.value, self.path)

    def _shown(self) -> str:
        shown = repr(self.value)
        return shown if len(shown) <= 60 else f"{shown[:57]}..."
