from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from streamdet.errors import DataError
from streamdet.training.dataset import LabelledImage
from streamdet.training.pictures.outcomes import best, outcomes, worst
from streamdet.training.pictures.sheets import FALSE, MISSED, RIGHT, draw_sheet
from streamdet.types import Detections
from tests.rectangles import draw, labelled
from tests.training.pictures.found import BICYCLE, CAR, PERSON, SIZE, A, B, C, assessment, card, found


def test_an_outcome_is_that_at_the_models_thresholds() -> None:
    image = labelled("1", SIZE, [A, B], [CAR, PERSON])
    pair = (image, found((A, 0.5, CAR), (A, 0.45, BICYCLE), (B, 0.3, PERSON), (C, 0.2, CAR)))
    [outcome] = outcomes(assessment(pair), card())
    assert outcome.right.names == ["car"]
    assert outcome.false.names == ["bicycle"]
    assert outcome.missed_names == ("person",)
    assert outcome.missed_xyxy.tolist() == [B]
    assert outcome.errors == 2
    [outcome] = outcomes(assessment(pair), card(person=0.25, bicycle=0.6, car=0.1))
    assert (len(outcome.right), outcome.missed_names, outcome.false.names) == (2, (), ["car"])


def test_what_is_not_counted_is_no_error() -> None:
    image = labelled("1", SIZE, [A], [CAR], ignored=[B], ignored_classes=[PERSON], known=(False, True, True))
    [outcome] = outcomes(assessment((image, found((B, 0.9, PERSON), (C, 0.8, CAR)))), card())
    assert (len(outcome.right), len(outcome.false), outcome.missed_names) == (0, 0, ())


def test_order_of_the_worst_and_the_best() -> None:
    perfect = (labelled("perfect", SIZE, [A], [CAR]), found((A, 0.6, CAR)))
    fuller = (labelled("fuller", SIZE, [A, B], [CAR, PERSON]), found((A, 0.6, CAR), (B, 0.5, PERSON)))
    empty = (labelled("empty", SIZE), found())
    missing = (labelled("missing", SIZE, [A, B], [CAR, CAR]), found((A, 0.9, CAR)))
    false = (labelled("false", SIZE, [A], [CAR]), found((A, 0.9, CAR), (C, 0.5, CAR)))
    confident = (labelled("confident", SIZE, [A], [CAR]), found((A, 0.9, CAR), (C, 0.8, CAR)))
    both = (labelled("both", SIZE, [A], [CAR]), found((C, 0.5, CAR)))
    found_in = outcomes(assessment(perfect, fuller, empty, missing, false, confident, both), card())
    names = [outcome.image.path.name for outcome in worst(found_in, 10)]
    assert names == ["both", "confident", "false", "missing"]
    assert [outcome.image.path.name for outcome in worst(found_in, 1)] == ["both"]
    assert [outcome.image.path.name for outcome in best(found_in, 3)] == ["fuller", "perfect", "missing"]
    assert worst([], 3) == best([], 3) == []


def drawn(folder: Path, name: str) -> LabelledImage:
    cv2.imwrite(str(folder / name), draw(SIZE, [], []))
    return labelled(str(folder / name), SIZE, [A, B], [CAR, PERSON])


def shares_of(sheet: np.ndarray, rgb: tuple[int, int, int]) -> float:
    return float((np.abs(sheet.astype(int) - rgb).max(axis=2) < 40).mean())


def test_a_sheet_shows_what_was_found_missed_and_false(tmp_path: Path) -> None:
    image = drawn(tmp_path, "Straße 信号.png")
    all_found = found((A, 0.9, CAR), (B, 0.8, PERSON))
    for detections, colours in (
        (all_found, (True, False, False)),
        (Detections.empty(all_found.class_names), (False, True, False)),
        (found((A, 0.9, CAR), (B, 0.8, PERSON), (C, 0.7, BICYCLE)), (True, False, True)),
    ):
        chosen = outcomes(assessment((image, detections)), card())
        draw_sheet(chosen, tmp_path / "sheet.png")  # without a JPEG's blur
        with Image.open(tmp_path / "sheet.png") as sheet:
            picture = np.asarray(sheet.convert("RGB"))[60:530]  # between legend and caption
        seen = [shares_of(picture, stroke.colour) > 0.004 for stroke in (RIGHT, MISSED, FALSE)]
        assert tuple(seen) == colours


def test_a_sheet_of_many_pictures_and_of_long_ones(tmp_path: Path) -> None:
    tall = labelled(str(tmp_path / "tall.png"), (30, 900), [[2, 2, 20, 500]], [CAR])
    cv2.imwrite(str(tall.path), draw((30, 900), [], []))
    images = [drawn(tmp_path, f"{'long ' * 20}{number}.png") for number in range(2)] + [tall]
    crowd = found(*(([0.0, 0.0, 10.0 + number, 10.0], 0.9, CAR) for number in range(30)))
    chosen = outcomes(assessment(*((image, crowd) for image in images)), card())
    draw_sheet(chosen, tmp_path / "sheet.jpg")
    with Image.open(tmp_path / "sheet.jpg") as sheet:
        assert sheet.format == "JPEG"
        assert sheet.height > 480 + 640  # a row of pictures 640 wide, and one as high
    cv2.imwrite(str(images[0].path), draw((20, 20), [], []))
    with pytest.raises(DataError, match="its labels say"):
        draw_sheet(chosen, tmp_path / "sheet.jpg")
