from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from streamdet.video.blur import LEAST_SCORE, Blur
from streamdet.video.planes import Planes
from tests.video.drawn import arrays, changed, detected, detections, picture

PERSON, CAR = 0, 2
BOX = (300.0, 100.0, 380.0, 300.0)


def person(score: float = 0.9) -> tuple[float, float, float, float, float, int]:
    return (*BOX, score, PERSON)


def inside(mask: np.ndarray, box: tuple[float, float, float, float] = BOX, step: int = 1) -> np.ndarray:
    x0, y0, x1, y1 = (int(edge) // step for edge in box)
    return mask[y0:y1, x0:x1]


def detail(array: np.ndarray) -> float:
    """Mean difference of neighbours: what a face would need."""
    return float(np.abs(np.diff(array.astype(int), axis=1)).mean())


def test_all_of_a_person_is_blurred_in_all_planes_and_nothing_else() -> None:
    source = picture(1280, 720)
    before = arrays(source)
    given = detected(source, detections(person(), (700, 100, 900, 250, 0.8, CAR)))
    blurred = Blur(["person"])(given)
    assert blurred.detections is given.detections
    assert (blurred.frame.pts, blurred.frame.index) == (given.frame.pts, given.frame.index)
    assert (blurred.frame.picture.pts, blurred.frame.picture.time_base) == (source.pts, source.time_base)
    for plane, (clear, now) in enumerate(zip(before, arrays(blurred.frame.picture), strict=True)):
        step = 2 if plane else 1
        assert detail(inside(now, step=step)) < 0.1 * detail(inside(clear, step=step))
        assert np.array_equal(now[:, 450 // step :], clear[:, 450 // step :])
        assert np.array_equal(now[350 // step :], clear[350 // step :])
    assert all(np.array_equal(a, b) for a, b in zip(before, arrays(source), strict=True))  # the source is left alone


def test_the_blur_reaches_beyond_the_box() -> None:
    source = picture(1280, 720)
    mask = changed(source, Blur(["person"])(detected(source, detections(person()))).frame.picture)
    rows, columns = np.nonzero(mask)
    assert rows.min() <= BOX[1] - 15
    assert rows.max() >= BOX[3] + 14
    assert columns.min() <= BOX[0] - 15
    assert columns.max() >= BOX[2] + 14


@pytest.mark.parametrize("side", [16, 60, 400])
def test_whatever_its_size_no_feature_of_an_object_remains(side: int) -> None:
    source = picture(1280, 720)
    x, y = 401, 203
    squares = np.indices((side, side)) // max(1, side // 12)
    Planes(source).arrays[0][y : y + side, x : x + side] = 200 * (squares.sum(0) % 2)
    given = detected(source, detections((x, y, x + side, y + side, 0.9, PERSON)))
    now = Planes(Blur(["person"])(given).frame.picture).arrays[0]
    assert now[y : y + side, x : x + side].std() < 0.2 * 100


def test_a_box_within_another_one_brings_no_detail_back() -> None:
    source = picture(1280, 720)
    face = (330.0, 120.0, 350.0, 140.0)
    alone, both = (
        arrays(Blur(["person"])(detected(source, detections(*rows))).frame.picture)
        for rows in ((person(),), (person(), (*face, 0.8, PERSON), person(), (*face, 0.85, PERSON)))
    )
    assert all(np.array_equal(a, b) for a, b in zip(alone, both, strict=True))


def test_hidden_and_weak_objects_are_blurred_too_down_to_the_least_score() -> None:
    source = picture(640, 360)
    for score, expected in ((LEAST_SCORE, True), (LEAST_SCORE - 0.02, False)):
        given = detected(source, detections(person(score)), shown=[False])
        assert changed(source, Blur(["person"])(given).frame.picture).any() == expected


def test_what_the_detector_called_a_person_is_blurred_whatever_its_track_is_called() -> None:
    source = picture(640, 360)
    given = detected(source, detections((*BOX, 0.9, CAR), ids=[3]))
    given = replace(given, seen_class_ids=np.array([PERSON]))
    assert inside(changed(source, Blur(["person"])(given).frame.picture)).mean() > 0.9


def test_outside_of_the_region_of_interest_people_are_blurred_too() -> None:
    source = picture(640, 360)
    given = replace(detected(source), outside=detections(person(0.3), (10, 10, 100, 90, 0.8, CAR)))
    blurred = Blur(["person"])(given)
    mask = changed(source, blurred.frame.picture)
    assert inside(mask).mean() > 0.9
    assert not mask[:80, :90].any()


def test_a_bridged_object_is_blurred_whatever_its_score() -> None:
    source = picture(640, 360)
    given = detected(source, detections(person(0.05), ids=[4], bridged=True))
    assert inside(changed(source, Blur(["person"])(given).frame.picture)).mean() > 0.9


def test_other_classes_and_nothing_leave_the_frame_as_it_is() -> None:
    blur, source = Blur(["person"]), picture(640, 360)
    for found in (None, detections((*BOX, 0.9, CAR))):
        given = detected(source, found)
        assert blur(given) is given


def test_who_is_missed_for_a_moment_stays_blurred() -> None:
    blur, source = Blur(["person"]), picture(640, 360)
    blur(detected(source, detections(person()), time_s=1.0))
    areas = []
    for time_s in (1.04, 1.5, 2.0):
        mask = changed(source, blur(detected(source, time_s=time_s)).frame.picture)
        assert inside(mask).mean() > 0.95
        areas.append(int(mask.sum()))
    assert areas[0] < areas[1] < areas[2]  # it may have walked on
    given = detected(source, time_s=2.1)
    assert blur(given) is given
    assert blur.account.remembered == 3


def test_who_is_seen_again_is_not_blurred_twice() -> None:
    blur, source = Blur(["person"]), picture(1280, 720)
    for moment in range(10):
        blur(
            detected(
                source, detections((300 + 8 * moment, 100, 380 + 8 * moment, 300, 0.9, PERSON)), time_s=moment / 10
            )
        )
    assert blur.account.remembered == 0
    blur(detected(source, detections((700, 100, 780, 300, 0.9, PERSON)), time_s=1.0))  # another one
    assert blur.account.remembered == 1


def test_memory_lasts_for_real_time_also_where_a_live_stream_counts_anew() -> None:
    source = picture(640, 360)

    def live(found: bool, pts_s: float, arrival_s: float) -> object:
        given = detected(source, detections(person()) if found else None, time_s=pts_s)
        return replace(given, frame=replace(given.frame, arrival_s=arrival_s, utc_s=1e9 + arrival_s))

    blur = Blur(["person"])
    blur(live(True, 900.0, 50.0))  # type: ignore[arg-type]
    again = blur(live(False, 0.0, 50.5))  # type: ignore[arg-type]
    assert changed(source, again.frame.picture).any()


@pytest.mark.parametrize(("damaged", "failed", "reason"), [(True, False, "damaged"), (False, True, "detection failed")])
def test_a_frame_nobody_can_be_sure_of_is_blurred_whole(damaged: bool, failed: bool, reason: str) -> None:
    blur, source = Blur(["person"]), picture(641, 359)
    blurred = blur(detected(source, damaged=damaged), failed=failed)
    for clear, now in zip(arrays(source), arrays(blurred.frame.picture), strict=True):
        assert detail(now) < 0.1 * detail(clear)
    assert dict(blur.account.whole) == {reason: 1}
    assert blur.account.frames_blurred == 0


@pytest.mark.parametrize(
    "box",
    [
        (-50, -50, 60, 60), (600, 300, 900, 900), (-1e9, 100, 1e9, 200), (638.9, 0, 641, 359), (-90, 0, -50, 90),
        (700, 10, 800, 90), (np.nan, 0, 90, 90), (0, 0, 641, 359),
    ],
)  # fmt: skip
@pytest.mark.parametrize("form", ["yuv420p", "yuvj420p", "nv12", "rgb24"])
def test_boxes_at_and_over_the_border(box: tuple[float, float, float, float], form: str) -> None:
    source = picture(641, 359, form)
    blurred = Blur(["person"])(detected(source, detections((*box, 0.9, PERSON))))
    assert (blurred.frame.width, blurred.frame.height) == (641, 359)


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (16, 9)])
def test_tiny_pictures(size: tuple[int, int]) -> None:
    source = picture(*size)
    Blur(["person"])(detected(source, detections((0, 0, *size, 0.9, PERSON))))
    Blur(["person"])(detected(source, damaged=True))


def test_the_account_tells_what_was_blurred() -> None:
    blur, source = Blur(["person", "car"]), picture(640, 360)
    two = detections(person(), (10, 10, 100, 90, 0.8, CAR))
    blur(detected(source, two, time_s=0.0))
    blur(detected(source, detections(person()), time_s=0.1))
    blur(detected(source, two, time_s=0.2, damaged=True))
    blur(detected(source, time_s=9.0))
    assert blur.account.told() == "person, car: 3 boxes + 1 remembered in 2 of 4 frames, 1 frame whole (damaged)"
    told = blur.account.as_dict()
    assert told["boxes"] == {"person": 2, "car": 1}
    assert told["whole"] == {"damaged": 1}


def test_after_frames_that_were_only_replayed_all_goes_on_as_if_they_had_been_blurred() -> None:
    source = picture(640, 360)
    frames = [
        detected(source, detections(person()), time_s=0.0), detected(source, time_s=0.1, damaged=True),
        detected(source, time_s=0.2), detected(source, time_s=0.3),
    ]  # fmt: skip
    one, other = Blur(["person"]), Blur(["person"])
    last = [one(frame) for frame in frames][-1]
    for frame in frames[:3]:
        other.replay(frame)
    assert not changed(last.frame.picture, other(frames[3]).frame.picture).any()
    assert one.account == other.account
