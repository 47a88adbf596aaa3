"""Pages without external resources: every text is escaped, every picture lies in the page itself.

The reports of a training and of detections are made of these parts, so that they look like one family.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape
from pathlib import Path

MEDIA_TYPES = {".png": "image/png", ".jpg": "image/jpeg"}

STYLE = """
:root { color-scheme: light dark; --ink: #24292f; --faint: #57606a; --line: #d8dee4; --paper: #fff; --shade: #f6f8fa }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6edf3; --faint: #9aa5b1; --line: #30363d; --paper: #0d1117; --shade: #161b22 }
  img.chart { filter: invert(1) hue-rotate(180deg); mix-blend-mode: screen }
}
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 54rem; padding: 1rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere }
h1 { font-size: 1.6rem; line-height: 1.2; margin: .5rem 0 }
h2 { font-size: 1.25rem; margin: 2.5rem 0 .5rem; border-bottom: 1px solid var(--line) }
p { margin: .5rem 0 1rem }
figure { margin: 1rem 0 2rem }
figcaption { color: var(--faint); font-size: .9rem }
img { display: block; width: 100%; height: auto; border-radius: .4rem }
img.chart { max-width: 44rem; margin: 0 auto }
.scroll { overflow-x: auto }
table { border-collapse: collapse; font-size: .92rem; font-variant-numeric: tabular-nums; overflow-wrap: normal }
th, td { padding: .25rem .65rem .25rem 0; text-align: right; border-bottom: 1px solid var(--line) }
th { color: var(--faint); font-weight: 600; white-space: nowrap }
td:first-child { min-width: 8ch }
th:first-child, td:first-child, .text { text-align: left }
pre { background: var(--shade); padding: .75rem; border-radius: .4rem; overflow-x: auto; overflow-wrap: normal }
details { margin: 1rem 0 } summary { cursor: pointer; font-weight: 600 }
"""


POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
"""What a browser may load for a page: nothing but what is in it."""


def page(title: str, parts: Sequence[str], *, style: str = "", script: str = "") -> str:
    """The whole document around `parts`, which are HTML; `style` adds to the common one."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}{style}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(parts)
        + "\n</main>\n"
        + (f"<script>{script}</script>\n" if script else "")
        + "</body>\n</html>\n"
    )


def heading(text: str, level: int = 2) -> str:
    """A title."""
    return f"<h{level}>{escape(text)}</h{level}>"


def paragraph(text: str) -> str:
    """Plain text."""
    return f"<p>{escape(text)}</p>"


def command(text: str) -> str:
    """Something to type."""
    return f"<pre><code>{escape(text)}</code></pre>"


def picture(path: Path, title: str, caption: str) -> str:
    """The PNG (a chart) or JPEG (photographs) at `path`, with a caption."""
    kind = "chart" if path.suffix == ".png" else "photographs"
    source = data_url(path.read_bytes(), path.suffix)
    return (
        f'<figure>\n<img class="{kind}" alt="{escape(title)}" src="{source}">\n'
        f"<figcaption><strong>{escape(title)}.</strong> {escape(caption)}</figcaption>\n</figure>"
    )


def data_url(content: bytes, suffix: str) -> str:
    """The picture itself as an address; `suffix`: ".png" or ".jpg"."""
    return f"data:{MEDIA_TYPES[suffix]};base64,{base64.b64encode(content).decode()}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, words: int = 1) -> str:
    """Cells of plain text; the first column names the row. That one, or the first `words`, are aligned to the left."""
    lines = [_row("th", head, words), *(_row("td", row, words) for row in rows)]
    return '<div class="scroll">\n<table>\n' + "\n".join(lines) + "\n</table>\n</div>"


def _row(tag: str, cells: Sequence[str], words: int) -> str:
    kinds = ["" if not 0 < place < words else ' class="text"' for place in range(len(cells))]
    return (
        "<tr>"
        + "".join(f"<{tag}{kind}>{escape(cell)}</{tag}>" for kind, cell in zip(kinds, cells, strict=True))
        + "</tr>"
    )


def folded(summary: str, part: str) -> str:
    """HTML that is shown on a click."""
    return f"<details>\n<summary>{escape(summary)}</summary>\n{part}\n</details>"
