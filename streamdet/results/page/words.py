"""Numbers as a page writes them."""

from __future__ import annotations

from collections.abc import Iterable


def many(count: int, noun: str, plural: str | None = None) -> str:
    """`1 frame`, `12,345 frames`."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def amount(value: float) -> str:
    """A mean: `0.04`, `3.2`, `18`, `1,204`."""
    if value >= 99.5:
        return f"{value:,.0f}"
    if value and value < 0.095:
        return f"{value:.2f}" if value >= 0.005 else "< 0.01"
    return f"{value:.1f}".removesuffix(".0")


def percent(share: float) -> str:
    """`12%`, `99.7%`: never 100% where something is missing, nor 0% where something is."""
    if 0 < share < 0.001:
        return "< 0.1%"
    if 0.999 < share < 1:
        return "> 99.9%"
    whole = share in (0, 1) or 0.0995 < share < 0.985
    return f"{share:.0%}" if whole else f"{share:.1%}"


def listed(items: Iterable[str], most: int = 6) -> str:
    """`a, b and c`."""
    names = list(items)
    if len(names) > most:
        names = [*names[: most - 1], f"{len(names) - most + 1} more"]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}" if names else ""
