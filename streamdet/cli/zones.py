"""`streamdet zones`: draw lines, zones and bays on a frame with the mouse, or write a frame with a grid."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streamdet.errors import OutputError, UsageError
from streamdet.options import LiveOptions, Transport

if TYPE_CHECKING:
    from streamdet.cli.place_picture import Image8
    from streamdet.results.places.rules import PlaceRules

GRID_NAME = "zones.png"


def zones(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="A video file, a camera (0, /dev/video0), an address (rtsp://, http://, ...), a pipe, or -.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="TOML file for what is drawn with the mouse. Default: places.toml.", metavar="FILE"),
    ] = None,
    grid: Annotated[
        Path | None,
        typer.Option(
            help=f"Write a frame with a grid and no window. Without a screen that is done anyway, into {GRID_NAME}.",
            metavar="FILE.png",
        ),
    ] = None,
    places: Annotated[
        Path | None, typer.Option(help="TOML file of places to be shown on the frame.", metavar="FILE")
    ] = None,
    bays: Annotated[Path | None, typer.Option(help="JSON file of bays to be shown, too.", metavar="FILE")] = None,
    transport: Annotated[Transport, typer.Option(help="Of RTSP.")] = "tcp",
    netrc: Annotated[Path | None, typer.Option(help="Passwords by host, as curl reads them.", metavar="FILE")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that are there.")] = False,
) -> None:
    """Draw lines, zones and bays on a frame with the mouse; without a screen, write a frame with a grid.

    "in" over a line is to the right of someone who walks from its first to its second point: the way its arrow points.
    A user name and a password can also stand in STREAMDET_USER and STREAMDET_PASSWORD.
    """
    from streamdet.cli.place_picture import first_picture, with_grid, with_places, write_png
    from streamdet.results.places.reading import places_toml
    from streamdet.video.location import parse_location

    user, password = os.environ.get("STREAMDET_USER"), os.environ.get("STREAMDET_PASSWORD")
    location = parse_location(source, user=user, password=password, netrc=netrc)
    shown = shown_places(places, bays)
    with_window = grid is None and has_screen()
    if grid is not None and out is not None:
        raise UsageError("--grid writes a picture and --out what is drawn in a window; leave one of them out")
    target = (out or Path("places.toml")) if with_window else (grid or Path(GRID_NAME))
    if target.exists() and not overwrite:
        option = "--out" if with_window else "--grid"
        raise UsageError(f"{target} is there already; give --overwrite to replace it, or another name with {option}")
    image_rgb = first_picture(location, LiveOptions(transport=transport))
    height, width = image_rgb.shape[:2]
    if shown:
        from streamdet.results.places.places import check_inside

        check_inside(shown, (width, height))
    if not with_window:
        write_png(target, with_grid(image_rgb, shown))
        typer.echo(
            f"{target}: a frame of {width}x{height} with a grid in pixels; read corners from it for --line "
            "name:x1,y1,x2,y2 and --zone name:x,y,x,y,x,y of `streamdet run`",
            err=True,
        )
        return
    drawn = draw_places(location.name, with_places(image_rgb, shown) if shown else image_rgb)
    if drawn is None:
        typer.echo("left without saving: nothing was written", err=True)
        return
    if not drawn:
        typer.echo("nothing was drawn: nothing was written", err=True)
        return
    try:
        target.write_text(places_toml(drawn), encoding="utf-8")
    except OSError as error:
        raise OutputError(f"cannot write {target}: {(error.strerror or str(error)).lower()}") from None
    typer.echo(f"{target}: {described(drawn)}; use it with `streamdet run ... --places {target}`", err=True)


def shown_places(places: Path | None, bays: Path | None) -> PlaceRules:
    """What is to be shown. Raises UsageError or DataError."""
    from streamdet.cli.analysing import read_place_file
    from streamdet.results.places.reading import read_bays
    from streamdet.results.places.rules import PlaceRules

    rules = PlaceRules(bays=() if bays is None else read_bays(bays))
    return rules if places is None else rules + read_place_file(places)


def has_screen() -> bool:
    """A window can be tried."""
    return sys.platform in ("darwin", "win32") or bool(os.environ.get("DISPLAY"))


def draw_places(title: str, image_rgb: Image8) -> PlaceRules | None:
    """What a person draws in the window; None when they leave without saving.

    Raises:
        UsageError: the window can't be opened, or a name was given that no place can have.
    """
    from streamdet.results.places.rules import BayRule, LineRule, PlaceRules, ZoneRule

    height, width = image_rgb.shape[:2]
    head = json.dumps({"title": f"streamdet zones {title}", "size": [width, height]}).encode() + b"\n"
    process = subprocess.run(
        [sys.executable, "-m", "streamdet.cli.zones_window"],
        input=head + image_rgb.tobytes(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    words: dict[str, Any] = {}
    for line in process.stdout.splitlines():
        words |= json.loads(line)
    if "places" not in words and "left" not in words:
        why = (
            "this Python lacks Tk (Debian: apt install python3-tk)"
            if words.get("error") == "tk"
            else "the screen can't be used"
        )
        raise UsageError(f"no window could be opened: {why}; give --grid FILE.png for a picture with a grid")
    if "places" not in words:
        return None
    by_kind: dict[str, list[tuple[str, tuple[tuple[float, float], ...]]]] = {"lines": [], "zones": [], "bays": []}
    for place in words["places"]:
        by_kind[place["kind"]].append((place["name"], tuple((float(x), float(y)) for x, y in place["points"])))
    return PlaceRules(
        tuple(LineRule(name, (points[0], points[1])) for name, points in by_kind["lines"]),
        tuple(ZoneRule(name, points) for name, points in by_kind["zones"]),
        tuple(BayRule(name, points) for name, points in by_kind["bays"]),
    )


def described(rules: PlaceRules) -> str:
    """Such as "2 lines, 1 zone"."""
    counts = (("line", len(rules.lines)), ("zone", len(rules.zones)), ("bay", len(rules.bays)))
    return ", ".join(f"{count} {word}{'s' * (count != 1)}" for word, count in counts if count)
