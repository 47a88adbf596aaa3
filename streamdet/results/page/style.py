"""How the page looks beyond the common style of `streamdet.html`, and the few lines of script that read its charts."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files

Rgb = tuple[int, int, int]


MOST_CHOICES = 8
"""Layers of a heat map, one of which shows at a time."""


def page_style() -> str:
    """The style of the page, without the colours of classes."""
    return (files(__package__) / "page.css").read_text(encoding="utf-8")


def page_script() -> str:
    """Reads charts under a pointer; without it the page is whole too."""
    return (files(__package__) / "page.js").read_text(encoding="utf-8")


def colour_style(colours: Sequence[Rgb]) -> str:
    """Classes `k0`, `k1`, ... that give each class of objects its colour: that of its boxes in annotated videos.

    On light paper it is darkened until it stands out; in dark mode and on pictures it is as it is.
    """
    light = " ".join(f".k{i} {{ --k: {_hex(on_paper(rgb))} }}" for i, rgb in enumerate(colours))
    bright = " ".join(f".k{i} {{ --k: {_hex(rgb)} }}" for i, rgb in enumerate(colours))
    on_pictures = " ".join(f".scene .k{i} {{ --k: {_hex(rgb)} }}" for i, rgb in enumerate(colours))
    choices = " ".join(
        f".choice > input:nth-of-type({i}):checked ~ .scene > .heats > img:nth-of-type({i}), "
        f".choice > input:nth-of-type({i}):checked ~ .scales > :nth-child({i}) {{ visibility: visible }}"
        for i in range(1, MOST_CHOICES + 1)
    )
    return f"\n{light}\n@media (prefers-color-scheme: dark) {{ {bright} }}\n{on_pictures}\n{choices}\n"


def on_paper(rgb: Rgb) -> Rgb:
    """The colour, darkened to a contrast of 3 with white where it has less."""
    linear = [((c / 255 + 0.055) / 1.055) ** 2.4 if c > 10 else c / 255 / 12.92 for c in rgb]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    scale = min(1.0, (1.05 / 3 - 0.05) / max(luminance, 1e-9))
    red, green, blue = (
        round(255 * (1.055 * (c * scale) ** (1 / 2.4) - 0.055))
        if c * scale > 0.0031
        else round(255 * 12.92 * c * scale)
        for c in linear
    )
    return red, green, blue


def _hex(rgb: Rgb) -> str:
    return "#{:02x}{:02x}{:02x}".format(*rgb)
