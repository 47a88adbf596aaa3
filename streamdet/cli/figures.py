"""Short forms of rates, times, counts and names, for tables and lines in a terminal."""

from __future__ import annotations

from collections.abc import Mapping

from rich.cells import cell_len

NOTHING = "–"
"""Stands where there is no number."""


def drops_of(dropped: Mapping[str, int], with_reasons: bool) -> str:
    """How many frames were dropped; with the reasons, the commonest first, where wanted."""
    total = short_count(sum(dropped.values()))
    reasons = sorted(((count, reason) for reason, count in dropped.items() if count), reverse=True)
    if not with_reasons or not reasons:
        return total
    if len(reasons) == 1:
        return f"{total} {reasons[0][1]}"
    return f"{total}: {', '.join(f'{short_count(count)} {reason}' for count, reason in reasons)}"


def rate(per_s: float) -> str:
    """Frames per second in four columns."""
    return f"{per_s:.0f}" if per_s >= 99.95 else f"{per_s:.1f}"


def duration(seconds: float | None) -> str:
    """A short time with its unit, in six columns."""
    if seconds is None:
        return NOTHING
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 99.95 else f"{seconds:.0f} s"


def short_count(count: int) -> str:
    """A count in five columns: 9999, 12.3k, 123k, 1.2M."""
    if count < 10_000:
        return str(count)
    if count < 999_500:
        return f"{count / 1000:.1f}k" if count < 99_950 else f"{count / 1000:.0f}k"
    return f"{count / 1e6:.1f}M"


def cut_middle(text: str, columns: int) -> str:
    """`text`, or both its ends around an ellipsis where it takes more than `columns`: URLs differ at their ends."""
    if cell_len(text) <= columns:
        return text
    tail = ""
    for character in reversed(text):
        if cell_len(character + tail) > (columns - 1) // 2:
            break
        tail = character + tail
    head = ""
    for character in text:
        if cell_len(head + character) > columns - 1 - cell_len(tail):
            break
        head += character
    return f"{head}…{tail}"
