from __future__ import annotations

import base64
import json
import shlex
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from streamdet.detection.checkpoint import Model
from streamdet.errors import OutputError
from streamdet.training.assess import Assessment
from streamdet.training.dataset import Dataset, LabelledImage
from streamdet.training.formats.coco import read_coco
from streamdet.training.losses import LossRule
from streamdet.training.pictures.report import write_report
from tests.networks import CLASS_NAMES, tiny_model
from tests.rectangles import write_set
from tests.training.pictures.found import assessment, found

VOID = {"meta", "img"}
METRICS = """step,classification_loss,box_loss,positives,learning_rate,AP val,AP50 val
10,1.5,1.0,7,1e-3,,
20,1.0,,7,1e-3,0.1,0.3
"""


class Page(HTMLParser):
    """A page, checked for tags that are open or closed alone."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.sources: list[str] = []
        self.cells: list[str] = []
        self.text = ""
        self.feed(path.read_text(encoding="utf-8"))
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += attrs
        self.sources += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "data", "action")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data
        if self.open and self.open[-1] in ("td", "th"):
            self.cells.append(data)


def pictures_in(page: Page) -> list[bytes]:
    for source in page.sources:
        assert source.startswith(("data:image/png;base64,", "data:image/jpeg;base64,"))
    return [base64.b64decode(source.partition(",")[2], validate=True) for source in page.sources]


@pytest.fixture
def training(tmp_path: Path) -> Dataset:
    return read_coco(write_set(tmp_path / "data" / "train.json", 4))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "my run"
    folder.mkdir()
    (folder / "metrics.csv").write_text(METRICS)
    (folder / "args.json").write_text(json.dumps({"seed": 3, "loss": {"gamma": 2.0}, "sizes": [[1.0, 96, 64]]}))
    return folder


def detected(image: LabelledImage, *, turn: int = 0) -> list[tuple[list[float], float, int]]:
    """Its objects; the class of each other one is `turn` too high."""
    pairs = zip(image.boxes_xyxy.tolist(), image.class_ids.tolist(), strict=True)
    return [(box, 0.8, (class_id + turn * (row % 2)) % 3) for row, (box, class_id) in enumerate(pairs)]


def assessed(images: Sequence[LabelledImage], names: tuple[str, ...] = CLASS_NAMES, name: str = "val") -> Assessment:
    """Everything is found, partly as another class, and each picture has a false box."""
    false = ([0.0, 0.0, 8.0, 8.0], 0.5, 0)
    pairs = [(image, found(*detected(image, turn=1), false, names=names)) for image in images]
    return assessment(*pairs, names=names, name=name)


def test_a_whole_report(training: Dataset, run: Path) -> None:
    shown = assessed(training.images)
    path = write_report(run, tiny_model(), [shown], training.images, LossRule())
    assert path == run / "report.html"
    page = Page(path)
    written = {file.name: file.read_bytes() for file in run.iterdir() if file.suffix in (".png", ".jpg")}
    assert set(written) == {
        "loss.png",
        "average_precision.png",
        "precision_recall_val.png",
        "confusion_val.png",
        "worst_val.jpg",
        "best_val.jpg",
        "anchor_coverage.png",
        "focal_loss.png",
    }
    assert sorted(pictures_in(page)) == sorted(written.values())
    for needle in ("http:", "https:", "url(", "@import"):
        assert needle not in path.read_text(encoding="utf-8")
    assert ("name", "viewport") in page.attributes
    assert all(value for name, value in page.attributes if name == "alt")
    assert not (run / "report.html.part").exists()

    row, scores = page.cells.index("AP75") + 1, shown.scores
    assert page.cells[row : row + 5] == ["val", "4", f"{scores.ap:.3f}", f"{scores.ap50:.3f}", f"{scores.ap75:.3f}"]
    for name, curve in shown.curves.items():
        place = page.cells.index(name)
        assert page.cells[place + 1] == str(curve.objects)
        assert page.cells[place + 3] == "0.100"  # the tiny model's threshold
    assert page.cells[page.cells.index("loss.gamma") + 1] == "2.0"
    assert page.cells[page.cells.index("sizes") + 1] == "[[1.0, 96, 64]]"
    command = next(line for line in page.text.splitlines() if line.startswith("streamdet run"))
    assert shlex.split(command)[:5] == ["streamdet", "run", "SOURCE", "--model", str(run)]


def test_names_cannot_break_out_of_the_page(training: Dataset, run: Path) -> None:
    names = ('<script>alert("1")</script>', "a & b 'quoted' $x$ " + "long " * 30, "自転車 \U0001f6b2")
    model = tiny_model()
    model = Model(model.network, replace(model.card, class_names=names, name="<b>run"), "")
    sets = [assessed(training.images[:1], names, name) for name in ("../<vál>", "../(vál)")]
    (run / "args.json").write_text('{"out": "<i>&", "none": null, "empty": {}}')
    page = Page(write_report(run, model, sets, training.images, LossRule()))
    assert names[0] in page.cells
    assert names[2] in page.cells
    assert "<i>&" in page.cells
    assert {file.name for file in run.glob("worst_*")} == {"worst_.._vál_.jpg", "worst_.._vál__2.jpg"}
    assert len(pictures_in(page)) == 2 + 2 * 4 + 2


def test_without_validation_and_without_files(training: Dataset, tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "new"
    page = Page(write_report(folder, tiny_model(), [], training.images, LossRule(kind="ohem")))
    assert "no validation set" in page.text
    assert "No step was logged" in page.text
    assert {file.name for file in folder.iterdir()} == {"report.html", "anchor_coverage.png", "focal_loss.png"}
    assert len(pictures_in(page)) == 2
    empty = Page(write_report(tmp_path / "empty", tiny_model(), [], [], LossRule(kind="ce")))
    assert pictures_in(empty) == []


def test_a_validation_set_without_objects_and_perfect_detections(training: Dataset, run: Path) -> None:
    empty = training.images[3:]
    assert not len(empty[0].boxes_xyxy)
    nothing = assessment((empty[0], found()), name="nothing")
    perfect = assessment(*((image, found(*detected(image))) for image in training.images), name="perfect")
    (run / "worst_perfect.jpg").write_bytes(b"of an earlier report")
    page = Page(write_report(run, tiny_model(), [nothing, perfect], empty, LossRule(gamma=5.0)))
    assert "The set has no objects" in page.text
    assert "Nothing was found in any picture" in page.text
    assert "No picture has a missed object or a false box" in page.text
    assert "have no objects, so there is no anchor coverage" in page.text
    assert "–" in page.cells
    assert not (run / "worst_perfect.jpg").exists()
    assert (run / "best_perfect.jpg").exists()


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match=r"the report can't be written to .*file"):
        write_report(tmp_path / "file", tiny_model(), [], [], LossRule())


def test_many_classes_are_folded(training: Dataset, tmp_path: Path) -> None:
    names = (*CLASS_NAMES, *(f"class {number}" for number in range(30)))
    model = tiny_model(num_classes=len(names))
    model = Model(model.network, replace(model.card, class_names=names), "")
    known = [replace(image, labelled=image.labelled.repeat(11)) for image in training.images]
    page = Page(write_report(tmp_path, model, [assessed(known, names)], [], LossRule(kind="focal-star")))
    assert "AP50 of 33 classes" in page.text
    assert "class 29" in page.cells
