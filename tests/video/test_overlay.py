from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import pytest
from av.video.reformatter import ColorRange, Colorspace

from streamdet.types import Detections
from streamdet.video.overlay import Overlay
from streamdet.video.palette import class_colours
from streamdet.video.planes import Coder, Planes
from tests.video.drawn import NAMES, arrays, changed, detections, picture


def many(count: int, width: int, height: int) -> Detections:
    rng = np.random.default_rng(count)
    middle, size = rng.uniform(-0.1, 1.1, (count, 2)) * (width, height), rng.uniform(0.002, 0.5, (count, 2)) * height
    scores = np.sort(rng.uniform(0, 1, count))[::-1].astype(np.float32)
    boxes = np.concatenate((middle - size / 2, middle + size / 2), 1).astype(np.float32)
    return Detections(boxes, scores, rng.integers(0, 6, count), NAMES)


SIZES = [(426, 240), (427, 241), (641, 359), (1280, 720), (1920, 1080), (3840, 2160)]


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_size_time_and_tags_stay_and_the_source_is_untouched(width: int, height: int) -> None:
    source = picture(width, height)
    before = arrays(source)
    drawn = Overlay(NAMES).draw(source, many(30, width, height), badge="DAMAGED")
    assert (drawn.width, drawn.height, drawn.format.name) == (width, height, "yuv420p")
    assert (drawn.pts, drawn.time_base) == (1234, Fraction(1, 90_000))
    assert (drawn.colorspace, drawn.color_range) == (Colorspace.ITU709, ColorRange.MPEG)
    assert all(np.array_equal(a, b) for a, b in zip(before, arrays(source), strict=True))
    assert changed(source, drawn).any()


@pytest.mark.parametrize("form", ["yuv420p", "yuvj420p", "nv12"])
@pytest.mark.parametrize(("width", "height"), [(64, 48), (65, 49), (1, 1), (3, 2)])
def test_nothing_found_is_the_source_pixel_for_pixel(form: str, width: int, height: int) -> None:
    source = picture(width, height, form)
    drawn = Overlay(NAMES).draw(source, Detections.empty(NAMES))
    expected = source.to_ndarray(format="nv12") if form == "nv12" and width % 2 == 0 and height % 2 == 0 else None
    if form != "nv12":
        assert all(np.array_equal(a, b) for a, b in zip(arrays(source), arrays(drawn), strict=True))
    elif expected is not None:
        y, u, v = arrays(drawn)
        assert np.array_equal(y, expected[:height])
        assert np.array_equal(u, expected[height:, 0::2])
        assert np.array_equal(v, expected[height:, 1::2])
    assert drawn is not source


@pytest.mark.parametrize("box", [(100, 60, 300, 200), (101, 61, 299, 199), (100.5, 60.5, 300.5, 200.5)])
def test_edges_have_the_colour_of_the_class_at_the_place_of_the_box(box: tuple[float, float, float, float]) -> None:
    width, height = 1280, 720
    source = picture(width, height, noise=False)
    overlay = Overlay(NAMES)
    drawn = overlay.draw(source, detections((*box, 0.5, 2)))
    y, u, v = (plane.astype(float) for plane in arrays(drawn))
    expected = Coder.of(source).yuv(overlay.colour(2))
    middle_x, middle_y = int((box[0] + box[2]) / 2), int((box[1] + box[3]) / 2)
    # Label, if any, is at the top left: look at the three other edges, and the top one at its right end.
    for row, column in (
        (middle_y, box[0]), (middle_y, box[2]), (box[3], middle_x), (box[1], box[2] - 20),
    ):  # fmt: skip
        r, c = int(np.floor(row - 0.25)), int(np.floor(column - 0.25))
        around = y[r : r + 2, c : c + 2]
        assert np.abs(around - expected[0]).min() < 3
        tint = u[r // 2 : r // 2 + 2, c // 2 : c // 2 + 2], v[r // 2 : r // 2 + 2, c // 2 : c // 2 + 2]
        assert abs(tint[0] - 110).max() > 0.4 * abs(expected[1] - 110)
        assert abs(tint[1] - 110).max() > 0.4 * abs(expected[2] - 110)
    assert (y[middle_y - 20 : middle_y + 20, middle_x - 20 : middle_x + 20] == 110).all()


@pytest.mark.parametrize(("size_wh", "step"), [((1280, 720), 0.5), ((1920, 1080), 1.0)])
def test_an_edge_lies_where_the_box_says(size_wh: tuple[int, int], step: float) -> None:
    """To half a pixel, and to a whole one where lines are wide."""
    source = picture(*size_wh, noise=False)
    for left in (200.0, 200.5, 201.0, 201.5):
        drawn = Overlay(NAMES).draw(source, detections((left, 100, 500, 400, 0.5, 4)))
        row = Planes(drawn).arrays[0][250, 190:215].astype(float) - 110
        bright = np.maximum(row, 0)  # the bus's colour is bright, the rim beside it dark
        centre = (bright * (np.arange(190, 215) + 0.5)).sum() / bright.sum()
        assert centre == pytest.approx(round(left / step) * step, abs=0.15)


def test_the_rim_makes_a_box_visible_on_its_own_colour() -> None:
    overlay = Overlay(NAMES)
    source = picture(640, 360, noise=False)
    for plane, value in zip(Planes(source).arrays, Coder.of(source).yuv(overlay.colour(2)), strict=True):
        plane[:] = round(value)
    drawn = overlay.draw(source, detections((100, 100, 400, 300, 0.5, 2)))
    row = Planes(drawn).arrays[0][200, 90:110].astype(int)
    assert row.min() < row.max() - 20


def test_the_layout_stays_when_the_score_changes() -> None:
    overlay = Overlay(NAMES)
    source = picture(1280, 720, noise=False)
    shapes = []
    for score in (0.05, 0.11, 0.5, 0.88, 0.999, 1.0):
        drawn = overlay.draw(source, detections((300, 200, 600, 500, score, 2)))
        mask = changed(source, drawn)
        shapes.append(np.argwhere(mask).min(0).tolist() + np.argwhere(mask).max(0).tolist() + [int(mask.sum())])
    for shape in shapes[1:]:
        assert shape[:4] == shapes[0][:4]
        assert abs(shape[4] - shapes[0][4]) < 12  # a pixel of ink may happen to equal the ground


def test_the_label_stands_on_the_box_or_inside_at_the_top_edge() -> None:
    source = picture(1280, 720, noise=False)
    overlay = Overlay(NAMES)

    def top(y0: float) -> int:
        drawn = overlay.draw(source, detections((300, y0, 600, y0 + 300, 0.5, 2)))
        return int(np.argwhere(changed(source, drawn))[:, 0].min())

    assert top(200) < 190
    assert top(2) >= 0
    inside = overlay.draw(source, detections((300, 2, 600, 302, 0.5, 2)))
    assert changed(source, inside)[6:20, 310:350].mean() > 0.9


def test_labels_stay_inside_the_picture() -> None:
    source = picture(1280, 720, noise=False)
    overlay = Overlay(NAMES)
    drawn = overlay.draw(source, detections((1200, 300, 1279, 450, 0.5, 3)))
    columns = np.flatnonzero(changed(source, drawn)[285:295].any(0))
    assert columns[-1] == 1279  # moved left so that its end is the picture's
    width = columns[-1] - columns[0] + 1
    far = overlay.draw(source, detections((600, 300, 679, 450, 0.5, 3)))
    assert np.flatnonzero(changed(source, far)[285:295].any(0)).size == width


def test_tiny_boxes_get_no_label() -> None:
    source = picture(1280, 720, noise=False)
    drawn = Overlay(NAMES).draw(source, detections((600, 300, 612, 310, 0.9, 2)))
    rows, columns = np.nonzero(changed(source, drawn))
    assert rows.min() > 290
    assert columns.max() < 620


def test_the_better_of_two_lies_on_top() -> None:
    source = picture(1280, 720, noise=False)
    overlay = Overlay(NAMES)
    box = (100, 100, 300, 250)
    low, high = (*box, 0.3, 0), (*box, 0.9, 2)
    both = overlay.draw(source, detections(low, high))
    alone = overlay.draw(source, detections(high))
    rows, columns = slice(150, 240), slice(102, 300)  # clear of the labels
    y = Planes(both).arrays[0][rows, columns].astype(int) - Planes(alone).arrays[0][rows, columns]
    assert abs(y).max() < 70  # the rim lets some of the lower one through
    line = Planes(both).arrays[0][200, 98:104].astype(float)
    assert np.abs(line - Coder.of(source).yuv(overlay.colour(2))[0]).min() < 6


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_three_hundred_boxes_in_and_around_the_picture(width: int, height: int) -> None:
    source = picture(width, height)
    padding = [np.frombuffer(memoryview(p), np.uint8).reshape(-1, p.line_size)[:, p.width :] for p in source.planes]
    before = [p.copy() for p in padding]
    drawn = Overlay(NAMES).draw(source, many(300, width, height))
    assert changed(source, drawn).mean() > 0.05
    assert all(np.array_equal(a, b) for a, b in zip(before, padding, strict=True))


@pytest.mark.parametrize(
    "box",
    [
        (-50, -50, 60, 60), (600, 340, 900, 900), (-9, -9, 900, 900), (-1e9, 100, 1e9, 200), (639.9, 0, 640, 360),
        (0, 0, 0.1, 0.1),
    ],
)  # fmt: skip
def test_of_a_box_that_reaches_outside_all_of_the_line_is_seen(box: tuple[float, float, float, float]) -> None:
    source = picture(640, 360, noise=False)
    drawn = Overlay(NAMES).draw(source, detections((*box, 0.5, 2)))
    mask = changed(source, drawn)
    assert mask.any()
    assert not mask[0, 200:].any()  # the line runs inside the border, not on it; a label may touch it
    assert not mask[-1].any()
    assert not mask[:, -1].any()


@pytest.mark.parametrize(
    "box", [(-90, 0, -5, 90), (700, 10, 800, 90), (50, 50, 50, 90), (90, 50, 50, 90), (np.nan, 0, 90, 90)]
)
def test_a_box_that_is_nowhere_draws_nothing(box: tuple[float, float, float, float]) -> None:
    source = picture(640, 360)
    drawn = Overlay(NAMES).draw(source, detections((*box, 0.5, 2)))
    assert not any(changed(source, drawn, plane).any() for plane in range(3))


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (5, 3), (16, 9), (40, 300)])
def test_pictures_too_small_for_anything(size: tuple[int, int]) -> None:
    source = picture(*size)
    drawn = Overlay(NAMES).draw(source, many(20, *size), badge="DAMAGED")
    assert (drawn.width, drawn.height) == size


def test_a_full_range_picture_stays_full_range() -> None:
    source = picture(1280, 720, "yuvj420p", noise=False)
    source.color_range = ColorRange.JPEG
    overlay = Overlay(NAMES)
    drawn = overlay.draw(source, detections((100, 100, 400, 300, 0.5, 4)))
    assert drawn.color_range == ColorRange.JPEG
    y = Coder(0.2126, 0.0722, full_range=True).yuv(overlay.colour(4))[0]
    assert np.abs(Planes(drawn).arrays[0][200, 98:103] - y).min() < 3


@pytest.mark.parametrize("form", ["rgb24", "bgr24", "gray", "yuv422p", "yuv444p", "yuv420p10le", "rgba"])
def test_other_formats_are_converted_once(form: str) -> None:
    grey = np.full((360, 640, 3), 128, np.uint8)
    source = av.VideoFrame.from_ndarray(grey, format="rgb24").reformat(format=form)
    source.pts, source.time_base = 7, Fraction(1, 25)
    drawn = Overlay(NAMES).draw(source, detections((100, 100, 400, 300, 0.5, 2)))
    assert (drawn.format.name, drawn.pts, drawn.time_base) == ("yuv420p", 7, Fraction(1, 25))
    back = drawn.to_ndarray(format="rgb24")
    assert np.abs(back[:80].astype(int) - 128).max() < 4
    colour = np.array(Overlay(NAMES).colour(2), int)
    assert np.abs(back[200, 96:104].astype(int) - colour).sum(1).min() < 90


def test_rgb_gets_the_tags_that_players_guess() -> None:
    overlay = Overlay(NAMES)
    for height, space in ((480, Colorspace.ITU601), (720, Colorspace.ITU709)):
        source = av.VideoFrame.from_ndarray(np.zeros((height, 640, 3), np.uint8), format="rgb24")
        drawn = overlay.draw(source, Detections.empty(NAMES))
        assert (drawn.colorspace, drawn.color_range) == (space, ColorRange.MPEG)


def test_a_frame_without_time_keeps_having_none() -> None:
    source = av.VideoFrame(64, 48, "yuv420p")
    assert Overlay(NAMES).draw(source, Detections.empty(NAMES)).pts is None


def test_the_badge_is_in_the_corner_and_nowhere_else() -> None:
    source = picture(1280, 720, noise=False)
    rows, columns = np.nonzero(changed(source, Overlay(NAMES).draw(source, Detections.empty(NAMES), badge="DAMAGED")))
    assert rows.max() < 60
    assert columns.min() > 1280 - 200
    assert columns.max() < 1280


def test_drawing_again_gives_the_same_pixels() -> None:
    source, found = picture(1280, 720), many(60, 1280, 720)
    overlay = Overlay(NAMES)
    first, again, other = overlay.draw(source, found), overlay.draw(source, found), Overlay(NAMES).draw(source, found)
    assert not changed(first, again).any()
    assert not changed(first, other).any()


@pytest.mark.parametrize("count", [1, 6, 20, 91, 400])
def test_colours_are_stable_and_differ(count: int) -> None:
    colours = class_colours(count)
    assert len(colours) == len(set(colours)) == count
    assert colours == class_colours(500)[:count]
    assert all(0 <= value <= 255 for colour in colours for value in colour)


def test_a_class_beyond_the_names_is_still_drawn() -> None:
    source = picture(640, 360)
    found = Detections(
        np.float32([[100, 100, 300, 300]]), np.float32([0.5]), np.array([9], np.int64), tuple("abcdefghij")
    )
    assert changed(source, Overlay(("a",)).draw(source, found)).any()
