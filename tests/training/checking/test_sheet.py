from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from streamdet.errors import OutputError
from streamdet.training.checking.choosing import Pick, choose_pictures
from streamdet.training.checking.sheet import COLUMNS, TILE_PX, draw_sheet
from streamdet.training.dataset import LabelledImage
from tests.networks import CLASS_NAMES
from tests.rectangles import labelled

COLOURS = dict(zip(CLASS_NAMES, ((255, 0, 0), (0, 255, 0), (0, 0, 255)), strict=True))


def test_every_kind_is_chosen() -> None:
    images = [labelled(f"{k}.png", (64, 64), [[1, 1, 30, 30]], [0]) for k in range(40)]
    images += [labelled("full.png", (64, 64), [[k, k, k + 20, k + 20] for k in range(9)], [0] * 9)]
    images += [labelled("tiny.png", (64, 64), [[5, 5, 7, 8]], [0])]
    images += [labelled("rare.png", (64, 64), [[5, 5, 40, 40]], [2]), labelled("empty.png", (64, 64))]
    images += [labelled("ignored.png", (64, 64), ignored=[[1, 1, 9, 9]])]
    picks = choose_pictures(images, CLASS_NAMES, 12)
    why = {pick.image.path.name: pick.why for pick in picks}
    assert len(why) == len(picks) == 12
    assert why["full.png"] == "9 objects"
    assert why["tiny.png"] == "small: 2x3 px"
    assert why["rare.png"] == "bicycle"
    assert why["ignored.png"] == "1 ignored region"
    assert why["empty.png"] == "empty"
    assert [pick.why for pick in picks] == [pick.why for pick in choose_pictures(images, CLASS_NAMES, 12)]
    assert len(choose_pictures(images, CLASS_NAMES, 100)) == len(images)
    assert choose_pictures([], CLASS_NAMES, 12) == []


def test_one_picture_of_a_clip_for_each_kind() -> None:
    images = [labelled(f"{k}.png", (64, 64), [[1, 1, 30, 30]] * 9, [0] * 9) for k in range(20)]
    images = [replace(image, group="night") for image in images]
    images += [labelled(f"day{k}.png", (64, 64), [[1, 1, 30, 30]] * 5, [0] * 5) for k in range(20)]
    fullest = [pick.why for pick in choose_pictures(images, CLASS_NAMES, 24)][:4]
    assert fullest == ["9 objects", "5 objects", "5 objects", "5 objects"]


def grey(path: Path, size: tuple[int, int], **labels: object) -> LabelledImage:
    cv2.imwrite(str(path), np.full((size[1], size[0], 3), 100, np.uint8))
    return labelled(str(path), size, **labels)  # type: ignore[arg-type]


def test_labels_are_drawn_where_they_are(tmp_path: Path) -> None:
    image = grey(
        tmp_path / "a.png", TILE_PX, boxes=[[40, 60, 140, 160], [200, 60, 260, 100]], classes=[1, 2],
        ignored=[[250, 200, 390, 290]],
    )  # fmt: skip
    draw_sheet([Pick(image, "at random")], COLOURS, CLASS_NAMES, tmp_path / "sheet.png")
    sheet = np.asarray(Image.open(tmp_path / "sheet.png").convert("RGB")).astype(int)
    assert sheet.shape[1] > COLUMNS * TILE_PX[0]
    rows, columns = np.nonzero((sheet == 100).all(axis=2))
    top, left = rows.min(), columns.min()
    tile = sheet[top : top + TILE_PX[1], left : left + TILE_PX[0]]
    for (x1, y1, x2, y2), colour in (((40, 60, 140, 160), (0, 255, 0)), ((200, 60, 260, 100), (0, 0, 255))):
        for y, x in ((y1, (x1 + x2) // 2), (y2, (x1 + x2) // 2), ((y1 + y2) // 2, x1), ((y1 + y2) // 2, x2)):
            assert tile[y, x].tolist() == list(colour)
        assert tile[(y1 + y2) // 2, (x1 + x2) // 2].tolist() == [100, 100, 100]
    region = (tile[200:290, 250:390] != 100).any(axis=2)
    assert 0.2 < region.mean() < 0.6  # hatched: the picture shows through
    assert (tile[170:195, 250:390] == 100).all()
    caption = sheet[top + TILE_PX[1] :, left : left + TILE_PX[0]]
    assert (caption > 150).all(axis=2).sum() > 200


def test_a_tiny_object_is_enlarged(tmp_path: Path) -> None:
    picture = np.full((600, 800, 3), 100, np.uint8)
    picture[590:598, 790:798] = (0, 0, 200)
    cv2.imwrite(str(tmp_path / "a.png"), picture)
    box = np.array([790, 590, 798, 598], np.float32)
    image = labelled(str(tmp_path / "a.png"), (800, 600), [box.tolist()], [0])
    areas = []
    for number, focus in enumerate((None, box)):
        draw_sheet([Pick(image, "small", focus)], COLOURS, CLASS_NAMES, tmp_path / f"{number}.png")
        sheet = np.asarray(Image.open(tmp_path / f"{number}.png").convert("RGB")).astype(int)
        areas.append(int(((sheet[..., 0] > 150) & (sheet[..., 0] < 230) & (sheet[..., 1] < 40)).sum()))
    assert areas[1] > 20 * max(areas[0], 1)


def test_many_classes_and_odd_names(tmp_path: Path) -> None:
    names = tuple(f"class number {k} – 車" for k in range(60))
    image = grey(tmp_path / f"{'long' * 40}.png", (30, 400), boxes=[[1, 1, 20, 300]], classes=[59])
    draw_sheet([Pick(image, "x" * 90)] * 7, dict.fromkeys(names, (255, 0, 0)), names, tmp_path / "new" / "sheet.png")
    with Image.open(tmp_path / "new" / "sheet.png") as sheet:
        assert sheet.height > 2 * TILE_PX[1]


def test_a_sheet_that_cannot_be_written(tmp_path: Path) -> None:
    image = grey(tmp_path / "a.png", (64, 64))
    with pytest.raises(OutputError, match=r"sheet\.xyz .*give a \.png file"):
        draw_sheet([Pick(image, "")], COLOURS, CLASS_NAMES, tmp_path / "sheet.xyz")
