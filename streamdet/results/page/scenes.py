"""Pictures of a view with something drawn over them: boxes, heat, ways, places."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from PIL import Image

from streamdet import html
from streamdet.results.jsonl_reading import FrameLine
from streamdet.results.page.charts import Axis
from streamdet.results.page.gather import View
from streamdet.results.page.heat import coloured, density, full_value
from streamdet.results.page.moments import Busy
from streamdet.results.page.objects import Track
from streamdet.results.page.style import MOST_CHOICES
from streamdet.results.page.words import amount, listed


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture of a view."""

    jpeg: bytes
    drawn: bool
    """The boxes are in it already."""


Still = Callable[[View, FrameLine], Picture | None]
"""Gives the picture of a frame; None where there is none to be had."""


def background_style(number: int, picture: Picture | None) -> str:
    """The style that gives a view its background, once for all that is drawn over it."""
    if picture is None:
        return ""
    return f".ground-{number} {{ background-image: url({html.data_url(picture.jpeg, '.jpg')}) }}\n"


def over_background(view: View, number: int, inside: str, what: str) -> str:
    """The background of view `number`, or a dark ground where there is none, with `inside` over it."""
    return _scene(view, f'<div class="ground ground-{number}"></div>{inside}', what)


def _scene(view: View, content: str, what: str) -> str:
    """`what` says the picture to who can't see it."""
    width, height = view.canvas_wh
    size = f"aspect-ratio:{width:g}/{height:g}"
    return f'<div class="scene" role="img" aria-label="{escape(what)}" style="{size}">{content}</div>'


def drawing(view: View, shapes: str) -> str:
    """SVG shapes in pixels of the picture."""
    width, height = view.canvas_wh
    return f'<svg viewBox="0 0 {width:g} {height:g}" preserveAspectRatio="none" aria-hidden="true">{shapes}</svg>'


def boxes(line: FrameLine) -> str:
    """The boxes that count, each with its class, score and number to be seen under a pointer."""
    shown = line.shown
    shapes = []
    rows = zip(shown, shown.class_ids.tolist(), shown.track_ids.tolist(), shown.bridged.tolist(), strict=True)
    for (box_xyxy, score, name), class_id, track_id, bridged in rows:
        left, top, right, bottom = (round(float(edge), 1) for edge in box_xyxy)
        number = f" {track_id}" if track_id >= 0 else ""
        kind = f"k{class_id}" + " bridged" * bridged
        shapes.append(
            f'<rect class="{kind}" x="{left:g}" y="{top:g}" width="{max(0.0, right - left):.4g}" '
            f'height="{max(0.0, bottom - top):.4g}"><title>{escape(name)}{number} {score:.0%}</title></rect>'
        )
    return "".join(shapes)


def shots(view: View, axis: Axis, moments: Sequence[Busy], still: Still) -> str:
    """The busiest moments as pictures with boxes."""
    figures = []
    for busy in moments:
        step_s = busy.end_s - busy.begin_s
        counts = np.bincount(busy.peak.shown.class_ids, minlength=len(view.class_names)).tolist()
        ranked = [k for k in np.argsort([-count for count in counts], kind="stable").tolist() if counts[k]]
        chips = [
            f'<span class="k{k}"><i class="dot"></i>{escape(view.class_names[k])} {counts[k]}</span>' for k in ranked
        ]
        when = busy.peak.picture or axis.clock.moment(busy.begin_s, step_s)
        at = when if busy.peak.picture else axis.clock.moment(busy.peak_s, min(1.0, step_s), with_day=False)
        seen = listed(f"{view.class_names[k]} {counts[k]}" for k in ranked)
        picture = still(view, busy.peak)
        drawn = picture is not None and picture.drawn
        frame = "" if picture is None else f'<img class="frame" alt="" src="{html.data_url(picture.jpeg, ".jpg")}">'
        content = frame + ("" if drawn else drawing(view, boxes(busy.peak)))
        at_peak = f"; here {at}" if at != when else ""
        figures.append(
            f"<figure>{_scene(view, content, f'{at}: {seen}')}<figcaption>"
            f"<strong>{escape(when)}</strong> · {amount(busy.mean)} at once on average"
            f'{escape(at_peak)}<span class="chips">{"".join(chips)}</span></figcaption></figure>'
        )
    return f'<div class="shots">{"".join(figures)}</div>'


def heat_map(view: View, number: int) -> str:
    """Where objects were, of all classes and of each of the most frequent ones, one at a time."""
    dense = density(view.heat, view.coverage.frames, view.canvas_wh)
    order = [int(k) for k in np.argsort(-dense.sum((1, 2)), kind="stable") if dense[k].any()][: MOST_CHOICES - 1]
    layers = [("all", dense.sum(0)), *((view.class_names[k], dense[k]) for k in order)]
    if len(order) < 2:
        layers = layers[:1]
    buttons, images, scales = [], [], []
    for place, (name, values) in enumerate(layers):
        full = full_value(values)
        identity = f"heat-{number}-{place}"
        if len(layers) > 1:
            checked = " checked" if place == 0 else ""
            buttons.append(f'<input type="radio" name="heat-{number}" id="{identity}"{checked}>')
            buttons.append(f'<label for="{identity}">{escape(name)}</label>')
        images.append(f'<img alt="" src="{html.data_url(_png(coloured(values, full)), ".png")}">')
        scales.append(f'<div class="scale"><span>0</span><i></i><span>{amount(full)} at once</span></div>')
    alone = "" if buttons else " alone"
    picture = over_background(view, number, f'<div class="heats">{"".join(images)}</div>', "where objects were")
    return f'<div class="choice{alone}">{"".join(buttons)}{picture}<div class="scales">{"".join(scales)}</div></div>'


def ways(view: View, number: int, tracks: Sequence[Track]) -> str:
    """The ways that objects took, each in the colour of its class."""
    shapes = []
    for track in tracks:
        if len(track.points_xy) > 1:
            points = " ".join(f"{x:.0f},{y:.0f}" for x, y in track.points_xy)
            name = f"{view.class_names[track.class_id]} {track.track_id}"
            shapes.append(
                f'<polyline class="k{track.class_id}" points="{points}"><title>{escape(name)}</title></polyline>'
            )
    return over_background(view, number, drawing(view, "".join(shapes)), "the ways that objects took")


def place_map(view: View, number: int) -> str:
    """Lines, zones and bays in the picture, with their names; empty where the file does not tell where they are."""
    width, height = view.canvas_wh
    shapes, labels = [], []
    for kind, named in view.geometry.items():
        for name, given in named.items():
            # headers of live runs tell points as the user gave them: pixels, or shares of the picture
            shares = all(value <= 1 for point in given for value in point)
            points = [(x * width, y * height) if shares else (x, y) for x, y in given]
            if kind == "lines" and len(points) == 2:
                shapes.append(_line(points[0], points[1], width / 36))
            else:
                text = " ".join(f"{x:g},{y:g}" for x, y in points)
                shapes.append(f'<polygon class="{_state(view, name) if kind == "bays" else "zone"}" points="{text}"/>')
            x, y = (sum(values) / len(points) for values in zip(*points, strict=True))
            small = " small" if kind == "bays" else ""
            labels.append(
                f'<span class="label{small}" style="left:{x / width:.2%};top:{y / height:.2%}">{escape(name)}</span>'
            )
    if not shapes:
        return ""
    return over_background(view, number, drawing(view, "".join(shapes)) + "".join(labels), "lines, zones and bays")


def _line(begin_xy: tuple[float, float], end_xy: tuple[float, float], arrow_px: float) -> str:
    """A line, and an arrow across it that points to where "in" is: the right of who walks along it."""
    (x1, y1), (x2, y2) = begin_xy, end_xy
    long = math.hypot(x2 - x1, y2 - y1) or 1.0
    along_x, along_y = (x2 - x1) / long * arrow_px, (y2 - y1) / long * arrow_px
    foot_x, foot_y = x1 + (x2 - x1) / 5, y1 + (y2 - y1) / 5
    tip_x, tip_y = foot_x - along_y, foot_y + along_x
    back_x, back_y = tip_x + along_y * 0.4, tip_y - along_x * 0.4
    head = [(back_x + along_x * 0.35, back_y + along_y * 0.35), (tip_x, tip_y)]
    head.append((back_x - along_x * 0.35, back_y - along_y * 0.35))
    arrow = f"M{foot_x:.1f} {foot_y:.1f}L{tip_x:.1f} {tip_y:.1f}M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in head)
    return f'<line class="place" x1="{x1:g}" y1="{y1:g}" x2="{x2:g}" y2="{y2:g}"/><path class="arrow" d="{arrow}"/>'


def _state(view: View, bay: str) -> str:
    found = view.places.bays.get(bay)
    return {True: "occupied", False: "free", None: "unknown"}[found.state if found else None]


def _png(pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels, "RGBA").quantize(64, method=Image.Quantize.FASTOCTREE).save(stream, "PNG", optimize=True)
    return stream.getvalue()
