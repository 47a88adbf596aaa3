from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from streamdet.training.formats.boxes import Sheet, checked, looks_normalised, numbers


@pytest.mark.parametrize(
    ("box", "kind"),
    [
        ((10, 10, 20, 20), None),
        ((0, 0, 200, 100), None),
        ((-2, -2, 202, 102), None),
        ((10, 10, 20, float("inf")), "not finite"),
        ((float("nan"), 10, 20, 20), "not finite"),
        ((20, 10, 10, 20), "wrong order"),
        ((10, 20, 20, 10), "wrong order"),
        ((10, 10, 10, 20), "zero area"),
        ((10, 10, 20, 10.001), "zero area"),
        ((200, 10, 210, 20), "outside"),
        ((10, 100, 20, 110), "outside"),
        ((-10, 10, 0, 20), "outside"),
        ((10, -10, 20, 0), "outside"),
        ((199.995, 10, 300, 20), "outside"),
    ],
)
def test_verdicts(box: Sequence[float], kind: str | None) -> None:
    kept, fault = checked(box, 200, 100)
    assert (fault.kind if fault else None) == kind
    assert kept == (None if kind else box)


@pytest.mark.parametrize(
    ("box", "clipped"),
    [
        ((-2.5, 10, 20, 20), (0, 10, 20, 20)),
        ((10, -30, 20, 20), (10, 0, 20, 20)),
        ((10, 10, 204, 20), (10, 10, 200, 20)),
        ((10, 10, 20, 103), (10, 10, 20, 100)),
    ],
)
def test_boxes_that_reach_far_out_are_clipped_with_a_warning(box: Sequence[float], clipped: Sequence[float]) -> None:
    kept, fault = checked(box, 200, 100)
    assert kept == clipped
    assert fault is not None
    assert not fault.is_error
    assert checked((10, 10, 4030, 20), 4000, 100) == ((10, 10, 4030, 20), None)  # less than 1% of a large picture


def test_normalised_boxes() -> None:
    assert looks_normalised((0.1, 0.2, 0.5, 0.6))
    assert looks_normalised((0, 0, 1, 0.5))
    assert not looks_normalised((0, 0, 1, 1))
    assert not looks_normalised((0.5, 0.5, 1.5, 1.5))


@pytest.mark.parametrize("values", [None, "1234", {"a": 1}, [1, "2"], [1, True], [1, None], [1, [2]], [10**400]])
def test_what_is_no_list_of_numbers(values: object) -> None:
    assert numbers(values) is None


def test_a_sheet_gathers_objects_and_ignored_regions() -> None:
    sheet = Sheet(200, 100)
    assert sheet.add((1, 2, 3, 4), 1) is None
    assert sheet.add((1, 2, 3, 4), 0) is None
    assert sheet.add((1, 2, 3, 4), 1, ignored=True) is None
    duplicate = sheet.add((1, 2, 3, 4), 1)
    assert duplicate is not None
    assert (duplicate.kind, duplicate.is_error) == ("duplicate box", False)
    image = sheet.image(__file__, np.ones(2, np.bool_), "here", "gate")  # type: ignore[arg-type]
    assert image.boxes_xyxy.tolist() == [[1, 2, 3, 4], [1, 2, 3, 4]]
    assert image.boxes_xyxy.dtype == np.float32
    assert image.class_ids.tolist() == [1, 0]
    assert image.ignored_xyxy.tolist() == [[1, 2, 3, 4]]
    assert image.ignored_class_ids.tolist() == [1]
    assert (image.width, image.height, image.source, image.group) == (200, 100, "here", "gate")
