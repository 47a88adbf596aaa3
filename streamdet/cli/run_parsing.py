"""Options of `streamdet run` that are more than a number or a word."""

from __future__ import annotations

from collections.abc import Iterable

from streamdet.cli.quantities import parse_seconds
from streamdet.errors import UsageError
from streamdet.options import OTHERS


def parse_conf(text: str | None) -> dict[str, float]:
    """Least score by class, "*" for all others, from "0.4", "person=0.6,car=0.4" or "0.4,person=0.6".

    Raises UsageError.
    """
    scores: dict[str, float] = {}
    for part in [] if text is None else text.split(","):
        name, equals, number = part.rpartition("=")
        name = name.strip() if equals else OTHERS
        try:
            score = float(number)
        except ValueError:
            score = float("nan")
        if not name or not 0 < score < 1:
            shown = text if equals or "," in str(text) else part
            raise UsageError(
                f"--conf is {shown}; give a number between 0 and 1, such as 0.4, or one by class: person=0.6,car=0.4"
            )
        if name in scores:
            whose = "all classes" if name == OTHERS else name
            raise UsageError(f"--conf {text} has two scores for {whose}; leave one out")
        scores[name] = score
    return scores


def parse_keep(texts: Iterable[str]) -> tuple[float | None, float | None]:
    """Seconds that recordings are kept, and least score that JSON lines keep: "24h" or "0.05", or one of each.

    A bare number below 1 is a score. Raises UsageError.
    """
    seconds: float | None = None
    score: float | None = None
    for text in texts:
        number = _bare_number(text)
        if number is not None and number < 1:
            if score is not None:
                raise UsageError(f"--keep has two scores, {score:g} and {text}; leave one out")
            score = number
        elif seconds is not None:
            raise UsageError(f"--keep has two times, {seconds:g} s and {text}; leave one out")
        else:
            seconds = parse_seconds(text, "--keep")
    return seconds, score


def _bare_number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
