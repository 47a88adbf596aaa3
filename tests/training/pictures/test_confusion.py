from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from streamdet.training.pictures.confusion import _joined, confusion_matrix, draw_confusion, greedy_match
from tests.rectangles import labelled
from tests.training.pictures.found import BICYCLE, CAR, PERSON, SIZE, A, B, C, assessment, card, found


def matrix(*entries: tuple[int, int, int]) -> list[list[int]]:
    """From (row, column, count); 3 is nothing or missed."""
    counts = np.zeros((4, 4), int)
    for row, column, count in entries:
        counts[row, column] = count
    return counts.tolist()


def test_right_mistaken_missed_and_false() -> None:
    far = [150.0, 100.0, 190.0, 140.0]
    shown = assessment(
        (labelled("1", SIZE, [A, B, C], [CAR, CAR, PERSON]), found((A, 0.9, CAR), (B, 0.8, PERSON), (far, 0.7, CAR))),
        (labelled("2", SIZE, [A], [CAR]), found((A, 0.9, CAR), (B, 0.3, BICYCLE))),  # the bicycle is not reported
    )
    counts = confusion_matrix(shown, card())
    assert counts.tolist() == matrix((CAR, CAR, 2), (CAR, PERSON, 1), (PERSON, 3, 1), (3, CAR, 1))
    objects = 4
    assert counts[:-1].sum() == objects  # each object is found as something, or missed
    assert confusion_matrix(shown, card(bicycle=0.2))[3, BICYCLE] == 1
    assert confusion_matrix(shown, card(car=0.95))[CAR].tolist() == [0, 1, 0, 2]


def test_of_two_boxes_on_an_object_the_better_one_takes_it() -> None:
    image = labelled("1", SIZE, [A], [CAR])
    wrong_first = assessment((image, found((A, 0.9, PERSON), (A, 0.8, CAR))))
    assert confusion_matrix(wrong_first, card()).tolist() == matrix((CAR, PERSON, 1), (3, CAR, 1))
    right_first = assessment((image, found((A, 0.8, PERSON), (A, 0.9, CAR))))
    assert confusion_matrix(right_first, card()).tolist() == matrix((CAR, CAR, 1), (3, PERSON, 1))


@pytest.mark.parametrize("region_class", [CAR, PERSON])
def test_ignored_regions_are_not_counted(region_class: int) -> None:
    half_in = [B[0] - 18, *B[1:]]  # 40 of 58 columns lie in the region
    image = labelled("1", SIZE, [A], [CAR], ignored=[B], ignored_classes=[region_class])
    shown = assessment((image, found((A, 0.9, CAR), (half_in, 0.8, CAR), (C, 0.7, CAR))))
    assert confusion_matrix(shown, card()).tolist() == matrix((CAR, CAR, 1), (3, CAR, 1))
    mostly_out = [B[0] - 60, *B[1:]]  # 40 of 100
    assert confusion_matrix(assessment((image, found((mostly_out, 0.8, CAR)))), card())[3, CAR] == 1


def test_classes_that_were_not_labelled_are_not_counted() -> None:
    image = labelled("1", SIZE, [A, B], [CAR, PERSON], known=(False, True, True))
    shown = assessment((image, found((A, 0.9, CAR), (B, 0.8, PERSON), (C, 0.7, CAR))))
    assert confusion_matrix(shown, card()).tolist() == matrix((PERSON, PERSON, 1))


def test_classes_are_matched_by_name_and_foreign_ones_left_out() -> None:
    foreign = found((A, 0.9, 0), (B, 0.8, 1), names=("dog", "person"))
    shown = assessment((labelled("1", SIZE, [A, B], [CAR, PERSON]), foreign))
    assert confusion_matrix(shown, card()).tolist() == matrix((CAR, 3, 1), (PERSON, PERSON, 1))


def test_greedy_matching_takes_the_largest_overlap_that_is_free() -> None:
    objects = np.array([[0, 0, 10, 10], [2, 0, 12, 10]], np.float32)
    boxes = np.array([[2, 0, 12, 10], [2, 0, 12, 10], [1, 0, 11, 10]], np.float32)
    assert greedy_match(boxes, objects).tolist() == [1, 0, -1]  # IoU 1 with the second; 8/12 with the first; none left
    assert greedy_match(np.array([[0, 0, 10, 20.01]], np.float32), objects).tolist() == [-1]  # just below 0.5
    assert greedy_match(boxes, objects[:0]).tolist() == [-1, -1, -1]
    assert greedy_match(boxes[:0], objects).tolist() == []


def test_rare_classes_are_joined_in_the_picture(tmp_path: Path) -> None:
    counts = np.random.default_rng(0).integers(0, 200, (301, 301))
    draw_confusion(counts, [f"class {number} of many" for number in range(300)], tmp_path / "confusion.png")
    with Image.open(tmp_path / "confusion.png") as picture:
        assert picture.height < 2 * picture.width


def test_joining_keeps_all_counts() -> None:
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 5, (41, 41))
    counts[7] = 100
    joined, labels, note = _joined(counts, [f"class{number}" for number in range(40)])
    assert joined.shape == (22, 22)
    assert joined.sum() == counts.sum()
    assert (joined[-1].sum(), joined[:, -1].sum()) == (counts[-1].sum(), counts[:, -1].sum())
    assert "class7" in labels
    assert labels[-1] == "20 others"
    assert "20 most frequent of 40" in note
