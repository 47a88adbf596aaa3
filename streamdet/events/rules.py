"""What makes an event, and what is to be done with it: the rules of an events file (docs/events.md)."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from streamdet.errors import UsageError

ALL = "*"
"""Stands for every bay."""


@dataclass(frozen=True, slots=True)
class Dwell:
    """An object is in a zone for a time: each object once, as long as it stays; without tracking: each spell once."""

    zone: str
    longer_than_s: float
    classes: tuple[str, ...] | None = None
    """None: any."""


@dataclass(frozen=True, slots=True)
class Visit:
    """An object came into a zone, or left it."""

    zone: str
    change: Literal["entered", "left"]
    classes: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Crossing:
    """An object crossed a line."""

    line: str
    direction: Literal["in", "out"] | None = None
    """None: both."""
    classes: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Crowd:
    """More than so many objects, in a zone or in the whole picture."""

    above: int
    zone: str | None = None
    longer_than_s: float = 0.0
    classes: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class BayChange:
    """A parking bay was occupied or freed."""

    bays: tuple[str, ...] = (ALL,)
    change: Literal["occupied", "freed"] | None = None
    """None: both."""


@dataclass(frozen=True, slots=True)
class CameraDown:
    """A camera gives no frames for a time; a second event tells that it is back."""

    longer_than_s: float = 30.0


Condition: TypeAlias = Dwell | Visit | Crossing | Crowd | BayChange | CameraDown


@dataclass(frozen=True, slots=True)
class ClipSpan:
    """How much of the video belongs to an event."""

    before_s: float = 5.0
    after_s: float = 5.0


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of the file."""

    name: str
    condition: Condition
    sources: tuple[str, ...] | None = None
    """Names of the cameras it holds for; None: all."""
    cooldown_s: float = 0.0
    """After an event, those of the next seconds at the same place are only counted (`suppressed` of the next one)."""
    snapshot: bool = True
    clip: ClipSpan | None = None
    send: tuple[str, ...] | None = None
    """Names of the receivers that get it; None: all."""


def check_rules(
    rules: Iterable[Rule],
    *,
    lines: Collection[str] = (),
    zones: Collection[str] = (),
    bays: Collection[str] = (),
    classes: Collection[str] | None = None,
) -> None:
    """Raises UsageError where a rule names a line, zone, bay or class that there is not; `classes` None: not known."""
    known: dict[str, tuple[Collection[str], str]] = {
        "line": (lines, "--line"),
        "zone": (zones, "--zone"),
        "bay": (bays, "--bays"),
    }
    for rule in rules:
        condition = rule.condition
        wanted = [(kind, name) for kind in ("line", "zone") if (name := getattr(condition, kind, None)) is not None]
        wanted += [("bay", bay) for bay in getattr(condition, "bays", ()) if bay != ALL]
        for kind, name in wanted:
            there, option = known[kind]
            if name not in there:
                hint = f"there are {', '.join(there)}" if there else f"there is none: draw it with {option}"
                raise UsageError(f"rule {rule.name} watches the {kind} {name!r}, which is not known; {hint}")
        if isinstance(condition, BayChange) and not bays:
            raise UsageError(f"rule {rule.name} watches parking bays, and there are none; name them with --bays")
        for name in getattr(condition, "classes", None) or ():
            if classes is not None and name not in classes:
                raise UsageError(f"rule {rule.name} names the class {name!r}; the model knows {', '.join(classes)}")
