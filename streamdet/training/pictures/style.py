"""How the pictures of a run look: sizes, colours, and letters that the fonts at hand can draw."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, fontManager
from matplotlib.ft2font import FT2Font
from matplotlib.text import Text

FloatArray = npt.NDArray[np.float64]

WIDTH_IN = 6.2
"""Narrow, with large letters: so that a picture can be read on a phone."""
DPI = 180
FONT_PT = 11.0
SMALL_PT = 9.5
INK, FAINT = "#24292f", "#d8dee4"
MOST_CLASSES = 20
"""Pictures show the most frequent classes, up to this many."""
LONGEST_NAME = 24

COLOURS = (
    "#3f90da", "#e76300", "#832db6", "#bd1f01", "#2a9d6f", "#ffa90e", "#a96b59", "#717581", "#c2559d", "#b9ac70",
)  # fmt: skip
"""Mostly those of Petroff 2021 (arXiv 2107.02270), made to be told apart by the colour blind too."""
DASHES = ("-", "--", ":")

# DejaVu comes with matplotlib. The others, where they are installed, draw the scripts that it lacks.
FAMILIES = (
    "DejaVu Sans", "Noto Sans CJK SC", "Noto Sans CJK JP", "WenQuanYi Micro Hei", "WenQuanYi Zen Hei",
    "Microsoft YaHei", "PingFang SC", "Hiragino Sans", "Yu Gothic", "Malgun Gothic", "Noto Sans Devanagari",
    "Noto Sans Thai", "Arial Unicode MS",
)  # fmt: skip

Item = TypeVar("Item")


def class_style(index: int) -> tuple[str, str]:
    """Colour and dashes of a class's line: the same in every picture of a run."""
    return COLOURS[index % len(COLOURS)], DASHES[index // len(COLOURS) % len(DASHES)]


def new_figure(height_in: float) -> Figure:
    """An empty figure, WIDTH_IN wide, that no global state knows of."""
    figure = Figure(figsize=(WIDTH_IN, height_in), dpi=DPI, layout="constrained", facecolor="white")
    figure.get_layout_engine().set(w_pad=0.12, h_pad=0.09)  # type: ignore[union-attr,call-arg]
    FigureCanvasAgg(figure)
    return figure


def tidy(axes: Axes, title: str, x_label: str, y_label: str) -> None:
    """Titles, a light grid below everything, and no frame."""
    axes.set_title(title, loc="left", fontsize=FONT_PT, fontweight="bold", color=INK)
    axes.set_xlabel(x_label, fontsize=FONT_PT, color=INK)
    axes.set_ylabel(y_label, fontsize=FONT_PT, color=INK)
    axes.grid(True, color=FAINT, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=SMALL_PT, labelcolor=INK, length=0, pad=6)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(FAINT)


def save(figure: Figure, path: Path) -> None:
    """Write a PNG."""
    families = [family for family, _ in _fonts()]
    for text in figure.findobj(lambda artist: isinstance(artist, Text) and artist.get_fontweight() != "bold"):
        text.set_family(families)  # type: ignore[attr-defined]
    figure.savefig(path, format="png", facecolor="white")


def drawable(text: str, longest: int = LONGEST_NAME) -> str:
    """`text` on one line, shortened in its middle, with a box for each letter that no font at hand has."""
    text = " ".join(text.split())
    if len(text) > longest:
        head = (longest - 1) * 2 // 3
        text = text[:head] + "…" + text[head + 1 - longest :]
    fonts = _fonts()
    return "".join(letter if any(ord(letter) in letters for _, letters in fonts) else "□" for letter in text)


def plain(text: str, longest: int = LONGEST_NAME) -> str:
    """`drawable` for matplotlib, which would take what stands between two dollars for a formula."""
    return drawable(text, longest).replace("$", r"\$")


def font_path(text: str) -> str:
    """File of the first font that has all letters of `text`, or of the first of all."""
    for family, letters in _fonts():
        if all(ord(letter) in letters for letter in text):
            return _file(family)
    return _file(FAMILIES[0])


@lru_cache(maxsize=1)
def _fonts() -> tuple[tuple[str, frozenset[int]], ...]:
    """The FAMILIES at hand, and the code points that each can draw."""
    installed = {font.name for font in fontManager.ttflist}
    families = [family for family in FAMILIES if family in installed]
    return tuple((family, frozenset(FT2Font(_file(family)).get_charmap())) for family in families)


def _file(family: str) -> str:
    return str(findfont(FontProperties(family=family)))


def most_frequent(items: Sequence[Item], counts: Sequence[int]) -> list[Item]:
    """The items of the MOST_CLASSES largest counts, in their own order."""
    ranked = sorted(range(len(items)), key=lambda place: -counts[place])[:MOST_CLASSES]
    return [items[place] for place in sorted(ranked)]
