"""What a study found, as plain JSON values: exact decimals as text, for programs."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from decimal import Decimal
from typing import Any

from pydantic import BaseModel

from backtest.tuning.findings import Findings
from backtest.tuning.space import text_of

FORMAT = 1


def findings_json(findings: Findings) -> dict[str, Any]:
    """Return every field of ``findings`` by its name, nested as it is; ``format`` grows when that changes."""
    return {"format": FORMAT} | _plain(findings)


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return text_of(value)
    if isinstance(value, BaseModel):
        return _plain(value.model_dump())
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
