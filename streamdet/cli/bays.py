"""`streamdet bays learn`: proposes parking bays from where vehicles stand in a recording."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streamdet.errors import DataError, SourceError, UsageError
from streamdet.options import parse_size

if TYPE_CHECKING:
    from streamdet.types import Detections, Frame

bays_app = typer.Typer(help="Parking bays: learn where they are.", no_args_is_help=True)
LOOKS_PER_S = 2
BATCH = 4


@dataclass(frozen=True, slots=True)
class _Looks:
    """What is learned from: detections at times in seconds, and the size of the pictures."""

    size_wh: tuple[int, int]
    detections: Iterable[tuple[float, Detections]]


@bays_app.command()
def learn(
    clip: Annotated[
        str,
        typer.Argument(
            metavar="CLIP",
            help="A recording, or what `streamdet run --jsonl` wrote about one (no network is needed then).",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option(help="JSON file for the bays.", metavar="FILE", show_default=False)],
    least: Annotated[float, typer.Option(help="Seconds that a vehicle must stand.", metavar="SECONDS")] = 10.0,
    conf: Annotated[float, typer.Option(help="Least score of vehicles that are looked at.", metavar="SCORE")] = 0.4,
    picture: Annotated[
        Path | None, typer.Option(help="Draw the bays over the first frame into this .png.", metavar="FILE")
    ] = None,
    model: Annotated[str, typer.Option(help="A model's name or file, or a run's folder.")] = "street",
    size: Annotated[
        str | None, typer.Option(help="Short x long side of the model's input. Default: the model decides.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that are there.")] = False,
) -> None:
    """Propose parking bays from where vehicles stand, for `streamdet run --bays`; look at them before using them.

    Bays in which nobody parks in this recording are not found: add them by hand.
    """
    from streamdet.results.places.learning import BayLearner
    from streamdet.results.places.reading import write_bays

    if not 0 <= least < float("inf"):
        raise UsageError(f"--least is {least:g}; give seconds, 0 or more")
    if not 0 < conf < 1:
        raise UsageError(f"--conf is {conf:g}; give a score between 0 and 1")
    is_jsonl = Path(clip).suffix.lower() in (".jsonl", ".ndjson")
    if is_jsonl and picture is not None:
        raise UsageError(f"--picture needs pictures and {clip} has none; give the recording itself, or leave it out")
    for path in filter(None, (out, picture)):
        if path.exists() and not overwrite:
            raise UsageError(f"{path} is there already; give --overwrite to replace it")
    looks = _read(Path(clip)) if is_jsonl else _detect(clip, model, parse_size(size), device, conf)
    learner = BayLearner(least, conf)
    last_s = first_s = None
    for time_s, detections in looks.detections:
        first_s, last_s = time_s if first_s is None else first_s, time_s
        learner.update(detections, time_s)
    if first_s is None or last_s is None:
        raise SourceError(f"{clip} has no frame to learn from; give a longer recording")
    bays = learner.bays(looks.size_wh)
    if not bays:
        raise DataError(
            f"in the {last_s - first_s:.0f} s of {clip} no vehicle stood for {least:g} s; give a longer recording, a "
            "shorter --least, or a lower --conf"
        )
    write_bays(out, bays)
    if picture is not None:
        _draw(clip, picture, out)
    typer.echo(f"{out}: {len(bays)} bays; look at them, and add the empty ones", err=True)


def _read(path: Path) -> _Looks:
    """Detections that a run wrote."""
    from streamdet.results.jsonl_reading import read_jsonl

    header, lines = read_jsonl(path)
    width, height = header.get("width"), header.get("height")
    if not isinstance(width, int) or not isinstance(height, int):
        raise DataError(f"{path} is about cameras, not about one recording; give the file of one recording")
    return _Looks((width, height), ((line.time_s, line.detections) for line in lines))


def _detect(clip: str, model: str, size: tuple[int, int] | None, device: str, conf: float) -> _Looks:
    """Detections of some frames a second."""
    from streamdet.cli.data_report import watched
    from streamdet.cli.probe import load_detector
    from streamdet.video.sources import open_source

    with open_source(clip) as source:
        info = source.info
    every = max(1, round((info.average_rate or Fraction(25)) / LOOKS_PER_S))
    detector = load_detector(model, size, device, "auto")
    detector.set_thresholds((conf,) * len(detector.card.class_names))

    def looks() -> Iterator[tuple[float, Detections]]:
        with open_source(clip, every=every) as source:
            whole = (frame for frame in source if not frame.damaged)
            for frames in _batches(iter(watched(whole, "looking at frames", source.info.expected_frames))):
                for frame, found in zip(frames, detector([frame.picture for frame in frames]), strict=True):
                    yield frame.time_s, found

    return _Looks((info.width, info.height), looks())


def _batches(frames: Iterator[Frame]) -> Iterator[list[Frame]]:
    while batch := list(islice(frames, BATCH)):
        yield batch


def _draw(clip: str, picture: Path, out: Path) -> None:
    from streamdet.cli.place_picture import first_picture, with_places, write_png
    from streamdet.options import LiveOptions
    from streamdet.results.places.reading import read_bays
    from streamdet.results.places.rules import PlaceRules
    from streamdet.video.location import parse_location

    image_rgb = first_picture(parse_location(clip), LiveOptions())
    write_png(picture, with_places(image_rgb, PlaceRules(bays=read_bays(out))))
