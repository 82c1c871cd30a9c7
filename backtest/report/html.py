"""The pieces of HTML a report is made of: sections, tables, plots, and the page that holds them."""

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from html import escape
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from backtest.report.summary import amount, count, signed

HERE = Path(__file__).parent
Figures = dict[str, dict[str, Any]]


def money(value: Any) -> tuple[str, str]:
    """Give the text and the value to sort by."""
    return signed(value) if Decimal(value) < 0 else amount(value), str(value)


def interval(found: Mapping[str, Any] | None) -> tuple[str, str]:
    """Write a measured mean in bps with its 95 % margin, and the value to sort by."""
    if found is None:
        return "–", ""
    around = "" if found["high"] is None else f" ± {found['high'] - found['bps']:.1f}"
    return f"{found['bps']:+.1f}{around}".replace("-", "−"), f"{found['bps']:.6g}"


def section(title: str, text: str, *parts: str) -> str:
    """Wrap ``parts`` (HTML) in a section with a heading and a line of text."""
    return f"<section><h2>{escape(title)}</h2><p class='note'>{escape(text)}</p>{''.join(parts)}</section>"


def plot(name: str, figures: Figures) -> str:
    """Leave the room a figure is drawn into."""
    return f"<div id='{name}' style='height:{figures[name]['layout']['height']}px'></div>"


def table(
    head: Sequence[str],
    rows: Sequence[Sequence[Any]],
    *,
    text_columns: int = 1,
    sort: bool = False,
    red: bool = True,
) -> str:
    """Make a table of texts, numbers, or (text, value to sort by); the first columns are text.

    A third part of such a pair is the cell's CSS class: ``bad``, or ``words`` for text that may wrap. ``red``
    marks negative numbers; ``sort`` lets a click on a heading sort.
    """

    def cell(i: int, value: Any) -> str:
        text, key, *classes = (
            value
            if isinstance(value, tuple)
            else (count(value) if isinstance(value, int) else str(value), str(value))
        )
        kind = "text" if i < text_columns else "negative" if red and text.startswith("−") else ""
        kind = " ".join(filter(None, [kind, *classes]))
        return f"<td class='{kind}' data-value='{escape(key)}'>{escape(text)}</td>"

    wrapped = {
        i
        for row in rows
        for i, value in enumerate(row)
        if isinstance(value, tuple) and any("words" in kind for kind in value[2:])
    }
    heads = "".join(
        f"<th class='{'text' if i < text_columns or i in wrapped else ''}'>{escape(name)}</th>"
        for i, name in enumerate(head)
    )
    body = "".join(f"<tr>{''.join(cell(i, value) for i, value in enumerate(row))}</tr>" for row in rows)
    kind = " class='sortable'" if sort else ""
    return (
        f"<div class='scroll'><table{kind}><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def page(title: str, body: str, figures: Figures) -> str:
    """Put body, figures, style and scripts into one file that needs nothing else."""
    # "</" would end the script element; "<\\/" is the same text to JSON.
    data = json.dumps(figures, separators=(",", ":"), allow_nan=False).replace("</", "<\\/")
    style, script = ((HERE / name).read_text(encoding="utf-8") for name in ("style.css", "report.js"))
    return (
        f"<!doctype html>\n<html lang='en'><head><meta charset='utf-8'><title>{escape(title)}</title>"
        f"<meta name='viewport' content='width=device-width'><style>{style}</style></head>\n<body><main>{body}</main>\n"
        f"<script id='figures' type='application/json'>{data}</script>\n"
        f"<script>{_plotly()}</script>\n<script>{script}</script></body></html>\n"
    )


def _plotly() -> str:
    """Read plotly's JavaScript without importing plotly, which takes longer than all the rest."""
    spec = find_spec("plotly")
    (folder,) = spec.submodule_search_locations if spec and spec.submodule_search_locations else ("",)
    return (Path(folder) / "package_data" / "plotly.min.js").read_text(encoding="utf-8")
