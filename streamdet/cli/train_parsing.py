"""Options of `streamdet train` that are more than a number or a word."""

from __future__ import annotations

from collections.abc import Collection

from streamdet.errors import UsageError


def parse_schedule(text: str) -> tuple[tuple[float, int, int], ...]:
    """(until this share of the run, width, height) from "256x352@0.65,320x448@1". Raises UsageError."""
    schedule = []
    try:
        for part in text.split(","):
            size, _, share = part.partition("@")
            height, width = (int(side) for side in size.lower().split("x"))
            schedule.append((float(share or 1), width, height))
    except ValueError as error:
        raise UsageError(f"--sizes is {text!r}; give height x width @ share, such as 256x352@0.65,320x448@1") from error
    if any(side % 32 or side < 32 for _, width, height in schedule for side in (width, height)):
        raise UsageError(f"--sizes is {text!r}; sides must be multiples of 32")
    shares = [share for share, _, _ in schedule]
    if shares != sorted(set(shares)) or shares[-1] != 1 or shares[0] <= 0:
        raise UsageError(f"--sizes is {text!r}; the shares must rise and end with 1")
    return tuple(schedule)


def parse_repeats(texts: list[str], sources: Collection[str]) -> dict[str, int]:
    """Times per epoch by source, from "SOURCE=N"; one of `sources`. Raises UsageError."""
    repeats = {}
    for text in texts:
        source, _, times = text.rpartition("=")
        if not source or not times.isdecimal() or int(times) < 1:
            raise UsageError(f"--repeat is {text!r}; give SOURCE=N with N of 1 or more")
        if source not in sources:
            raise UsageError(
                f"--repeat names the source {source!r}, and the pictures come from {', '.join(sorted(sources))}"
            )
        repeats[source] = int(times)
    return repeats


def parse_range(option: str, text: str) -> tuple[float, float]:
    """Low and high from "0.6-1.6". Raises UsageError."""
    low, _, high = text.partition("-")
    try:
        values = float(low), float(high)
    except ValueError as error:
        raise UsageError(f"{option} is {text!r}; give two factors such as 0.6-1.6") from error
    if not 0 < values[0] <= values[1] < float("inf"):
        raise UsageError(f"{option} is {text!r}; the factors must be positive, finite and rise")
    return values


def parse_numbers(option: str, text: str | None) -> tuple[float, ...] | None:
    """Positive numbers from "1,1.26,1.59". Raises UsageError."""
    if text is None:
        return None
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = ()
    if not values or not all(0 < value < float("inf") for value in values):
        raise UsageError(f"{option} is {text!r}; give positive numbers with commas between, such as 0.5,1,2")
    return values


def parse_or_none(option: str, text: str, least: float, most: float) -> float | None:
    """A number between `least` and `most`, both left out, or None for "none". Raises UsageError."""
    if text == "none":
        return None
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not least < value < most:
        upper = f" and less than {most:g}" if most != float("inf") else ""
        raise UsageError(f"{option} is {text!r}; give a number of more than {least:g}{upper}, or none")
    return value


def parse_stages(text: str) -> int | None:
    """Number of frozen stages, None for "auto". Raises UsageError."""
    if text == "auto":
        return None
    if text not in ("0", "1", "2", "3", "4", "5"):
        raise UsageError(f"--frozen-stages is {text!r}; give auto, or 0 (all learn) to 5 (the whole backbone is kept)")
    return int(text)
