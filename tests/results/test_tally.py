from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import av
import numpy as np

from streamdet.results.tally import Tally
from streamdet.scene import BayState, Happening, LineState, Scene, ZoneState
from streamdet.types import DetectedFrame, Detections, Frame

CLASSES = ("person", "car")
CORNERS = np.zeros((3, 2), np.float32)


def framed(time_s: float, ids: Sequence[int] = (), scene: Scene | None = None) -> DetectedFrame:
    n = len(ids)
    frame = Frame(av.VideoFrame(8, 8, "yuv420p"), "clip.mp4", 0, round(time_s * 10), Fraction(1, 10), arrival_s=0.0)
    detections = Detections(
        np.zeros((n, 4), np.float32),
        np.full(n, 0.5, np.float32),
        np.array([index % 2 for index in ids], np.int64).reshape(n),
        CLASSES,
        np.array(ids, np.int64).reshape(n),
    )
    return DetectedFrame(frame, detections, scene=scene)


def test_each_object_is_counted_once_with_its_class() -> None:
    tally = Tally()
    for ids in ([1, 2], [1, 2, 3], [], [2, 5, 3], [-1]):
        tally(framed(0, ids))
    assert tally.to_dict() == {"tracks": {"car": 3, "person": 1}}


def test_a_frame_goes_on_as_it_is() -> None:
    detected = framed(0, [1])
    assert Tally()(detected) is detected


def test_lines_and_zones() -> None:
    tally = Tally()
    line = LineState("gate", ((0, 0), (1, 1)), {"car": 2}, {})
    for count, happenings in ((1, ()), (4, (Happening("left", "yard", lasted_s=3.0),)), (2, ())):
        zone = ZoneState("yard", CORNERS, {"car": count}, entered={"car": 5})
        tally(framed(0, scene=Scene(lines=(line,), zones=(zone,), happenings=happenings)))
    tally(framed(0, scene=Scene((line,), (zone,), happenings=(Happening("left", "yard", lasted_s=1.0),))))
    told = tally.to_dict()
    assert told["lines"] == {"gate": {"in": {"car": 2}, "out": {}}}
    assert told["zones"] == {
        "yard": {"entered": {"car": 5}, "now": {"car": 2}, "most": 4, "stays": 2, "mean_stay_s": 2.0}
    }


def test_a_bay_is_occupied_for_a_share_of_the_time_it_was_watched() -> None:
    tally = Tally()
    # not known until 1 s, occupied from 1 to 4 s, then nobody watches for a minute, then free for 1 s
    states = [(0.0, None), (1.0, True), (2.0, True), (4.0, True), (64.0, False), (65.0, False)]
    for time_s, occupied in states:
        happenings = (Happening("freed", "A1", lasted_s=63.0),) if time_s == 64 else ()
        tally(framed(time_s, scene=Scene(bays=(BayState("A1", CORNERS, occupied),), happenings=happenings)))
    assert tally.to_dict()["bays"] == {
        "A1": {"occupied": False, "occupied_share": 0.75, "watched_s": 4.0, "changes": 1}
    }


def test_a_change_counts_from_when_it_was_not_from_when_it_became_certain() -> None:
    tally = Tally()
    # believed free at first, found to be occupied since the start; freed at 6 s, which is certain at 8 s
    states = [(0.0, False, 0.0), (2.0, True, 0.0), (4.0, True, 0.0), (6.0, True, 0.0), (8.0, False, 6.0)]
    for time_s, occupied, since_s in states:
        tally(framed(time_s, scene=Scene(bays=(BayState("A1", CORNERS, occupied, since_s),))))
    assert tally.to_dict()["bays"] == {
        "A1": {"occupied": False, "occupied_share": 0.75, "watched_s": 8.0, "changes": 0}
    }
