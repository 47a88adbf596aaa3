"""What Home Assistant's MQTT integration wants to know of sources and rules, to show them without any set-up."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from typing import NamedTuple

from streamdet import __version__
from streamdet.events.rules import BayChange, CameraDown, Condition, Crossing, Crowd, Dwell, Rule, Visit


class Announcement(NamedTuple):
    """A message that a broker keeps."""

    topic: str
    payload: bytes


def topic_part(text: str) -> str:
    """A name as one level of a topic: without what MQTT keeps for itself."""
    return re.sub(r"[/+#\0]+", "-", text).strip() or "-"


def kinds_of(condition: Condition) -> tuple[str, ...]:
    """The kinds of events that a rule can give."""
    match condition:
        case Dwell():
            return ("dwell",)
        case Visit(change=change):
            return (change,)
        case Crossing():
            return ("crossed",)
        case Crowd():
            return ("count",)
        case BayChange(change=change):
            return (change,) if change else ("occupied", "freed")
        case CameraDown():
            return ("camera down", "camera up")


def announcements(prefix: str, discovery: str | None, source: str, rules: Sequence[Rule]) -> list[Announcement]:
    """The messages for one source; `discovery`: Home Assistant's prefix, None for none of its own."""
    made = []
    base = f"{prefix}/{topic_part(source)}"
    watches = any(isinstance(rule.condition, CameraDown) for rule in rules)
    if watches:
        made.append(Announcement(f"{base}/connected", b"ON"))
    if discovery is None:
        return made
    node = _identifier(f"{prefix}_{source}")
    shared: dict[str, object] = {
        "availability_topic": f"{prefix}/status",
        "device": {"identifiers": [node], "name": source, "manufacturer": "streamdet", "sw_version": __version__},
        "origin": {"name": "streamdet", "sw_version": __version__},
    }

    def add(component: str, name: str, config: dict[str, object]) -> None:
        identifier = _identifier(name)
        full = {"name": name, "unique_id": f"{node}_{component}_{identifier}", **config, **shared}
        topic = f"{discovery}/{component}/{node}/{identifier}/config"
        made.append(Announcement(topic, json.dumps(full, ensure_ascii=False).encode()))

    for rule in rules:
        topic = f"{base}/{topic_part(rule.name)}"
        add("event", rule.name, {"state_topic": topic, "event_types": list(kinds_of(rule.condition))})
        if rule.snapshot and not isinstance(rule.condition, CameraDown):
            add("image", f"{rule.name} snapshot", {"image_topic": f"{topic}/snapshot", "content_type": "image/jpeg"})
    if watches:
        add("binary_sensor", "connected", {"state_topic": f"{base}/connected", "device_class": "connectivity"})
    return made


def _identifier(name: str) -> str:
    """A name in the letters that Home Assistant allows; names that differ stay different."""
    plain = re.sub(r"[^A-Za-z0-9_-]+", "_", name)
    return plain if plain == name else f"{plain}_{hashlib.sha256(name.encode()).hexdigest()[:6]}"
