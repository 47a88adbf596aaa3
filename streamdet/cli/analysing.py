"""Makes what a frame's detections go through before they are written: thresholds, tracks, places; from the options."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from streamdet.cli.toml_table import TomlFile
from streamdet.errors import UsageError
from streamdet.options import OTHERS, AnalysisOptions
from streamdet.results.analysis import SCORE_DECIMALS, Analysis
from streamdet.results.places import PlaceRules, Places, parse_line, parse_zone, read_bays, read_places
from streamdet.results.tracks import Tracker, TrackRule
from streamdet.types import Float32Array

if TYPE_CHECKING:
    from streamdet.detection.checkpoint import ModelCard


@dataclass(frozen=True)
class Scores:
    """Least scores, (K,) float32, one for each class of the model; infinite for a class that doesn't take part."""

    shown: Float32Array
    """Of an object that is drawn and counted."""
    start: Float32Array
    """Of an object that begins a track."""
    kept: Float32Array
    """Of an object that is written at all."""


def scores_for(
    card: ModelCard,
    options: AnalysisOptions,
    *,
    tracks: bool,
    conf: Mapping[str, float],
    classes: Sequence[str] | None,
) -> Scores:
    """What counts of a model's detections.

    `conf`: least score shown by class, "*" for all others, else the model's own; `classes`: show only these.

    Raises:
        UsageError: a class is not known.
    """
    known = known_classes(card)
    for option, names in (("--conf", conf), ("--classes", classes or ()), ("--blur", options.blur)):
        check_known(option, names, known, card.name)
    least = [options.kept_score] if options.kept_score else []
    least += [TrackRule().low_score] if tracks else []  # what is blurred needs no less
    shown, start = [], []
    for name in card.class_names:
        score = conf.get(name, conf.get(OTHERS, card.threshold(name)))
        is_shown = name in known and (classes is None or name in classes)
        shown.append(score if is_shown else np.inf)
        start.append(score if is_shown or (name in known and name in options.blur) else np.inf)
    starts = np.round(start, SCORE_DECIMALS)
    kept = np.where(np.isfinite(starts), np.minimum(starts, min(least, default=np.inf)), np.inf)
    return Scores(
        np.round(shown, SCORE_DECIMALS).astype(np.float32), starts.astype(np.float32), kept.astype(np.float32)
    )


def known_classes(card: ModelCard) -> list[str]:
    """What a model can be asked for."""
    return [name for class_id, name in enumerate(card.class_names) if class_id not in card.hidden_class_ids]


def check_known(option: str, names: Iterable[str], known: Sequence[str], model: str) -> None:
    """Raises UsageError when one of `names` is no class of the model, and names the closest one that is."""
    for name in names:
        if name != OTHERS and name not in known:
            close = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean {close[0]!r}?" if close else f"it knows {', '.join(known)}"
            raise UsageError(f"{option}: {model} knows no class {name!r}; {hint}")


def place_rules(options: AnalysisOptions) -> PlaceRules:
    """The lines, zones and bays of the command line and its files. Raises UsageError or DataError."""
    rules = PlaceRules(
        lines=tuple(parse_line(text) for text in options.lines),
        zones=tuple(parse_zone(text) for text in options.zones),
        bays=() if options.bays is None else tuple(read_bays(options.bays)),
    )
    return rules if options.places is None else rules + read_place_file(options.places)


def read_place_file(path: Path) -> PlaceRules:
    """The places in a TOML file. Raises UsageError or DataError."""
    file = TomlFile(path, of="places")
    return read_places(file.values, file.name, path.parent)


def track_rule(scores: Scores) -> TrackRule:
    """How objects are followed that are shown from these scores on."""
    starts = tuple(float(score) if np.isfinite(score) else 1.0 for score in scores.start)
    return TrackRule(start_score=starts, low_score=min(TrackRule().low_score, *starts))


def make_analysis(
    scores: Scores,
    class_names: Sequence[str],
    rules: PlaceRules,
    *,
    tracks: bool,
    on_problem: Callable[[str], None] | None = None,
) -> Analysis:
    """For one source, from its beginning; `on_problem` as `Analysis` takes it."""
    tracker = Tracker(track_rule(scores), class_names) if tracks else None
    return Analysis(scores.shown, tracker, Places.of(rules) if rules else None, on_problem=on_problem)


def by_class(scores: Float32Array, class_names: Sequence[str]) -> dict[str, float]:
    """Least score by name, of the classes that take part; ready for JSON."""
    return {
        name: round(float(score), SCORE_DECIMALS)
        for name, score in zip(class_names, scores, strict=True)
        if np.isfinite(score)
    }


def told_kept(scores: Sequence[Scores]) -> dict[str, object]:
    """The header field "kept", where weaker objects than those shown are kept."""
    if all(np.array_equal(each.kept, each.shown) for each in scores):
        return {}
    return {"kept": round(float(min(each.kept.min() for each in scores)), SCORE_DECIMALS)}


def told_tracking(scores: Scores, class_names: Sequence[str]) -> dict[str, object]:
    """How objects are followed; ready for JSON."""
    return asdict(track_rule(scores)) | {"start_score": by_class(scores.start, class_names)}


def told_places(rules: PlaceRules) -> dict[str, object]:
    """Lines, zones and bays by name, with corners as they were given: pixels, or shares of width and height."""
    told = {
        "lines": {line.name: [list(point) for point in line.points_xy] for line in rules.lines},
        "zones": {zone.name: [list(point) for point in zone.polygon_xy] for zone in rules.zones},
        "bays": {bay.name: [list(point) for point in bay.polygon_xy] for bay in rules.bays},
    }
    return {kind: places for kind, places in told.items() if places}
