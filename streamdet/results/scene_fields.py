"""A scene as the fields of a JSON line."""

from __future__ import annotations

from streamdet.scene import Happening, Scene
from streamdet.types import Frame


def scene_fields(scene: Scene | None, frame: Frame) -> dict[str, object]:
    """Only what there is: lines, zones, bays, and what happened; ready for JSON."""
    fields: dict[str, object] = {}
    if scene is None:
        return fields
    if scene.lines:
        fields["lines"] = {
            line.name: {"in": dict(line.in_counts), "out": dict(line.out_counts)} for line in scene.lines
        }
    if scene.zones:
        fields["zones"] = {zone.name: dict(zone.counts) for zone in scene.zones}
    if scene.bays:
        fields["bays"] = {bay.name: bay.occupied for bay in scene.bays}
    if scene.happenings:
        fields["happenings"] = [happening_fields(happening, frame) for happening in scene.happenings]
    return fields


def happening_fields(happening: Happening, frame: Frame) -> dict[str, object]:
    """What is known of it; times to 1 ms. `frame`: at which it became certain."""
    began_s = happening.began_s
    # a live frame's own clock is that of its arrival, which means nothing to anybody else
    began_utc_s = None if began_s is None or frame.utc_s is None else frame.utc_s - frame.arrival_s + began_s
    fields: dict[str, object | None] = {
        "kind": happening.kind,
        "place": happening.place,
        "direction": happening.direction,
        "class": happening.class_name,
        "track": happening.track_id if happening.track_id >= 0 else None,
        "began_s": _rounded(began_s) if frame.utc_s is None else None,
        "began_utc_s": _rounded(began_utc_s),
        "lasted_s": _rounded(happening.lasted_s),
        "speed_m_per_s": _rounded(happening.speed_m_per_s),
    }
    return {name: value for name, value in fields.items() if value is not None}


def _rounded(number: float | None) -> float | None:
    return None if number is None else round(float(number), 3)
