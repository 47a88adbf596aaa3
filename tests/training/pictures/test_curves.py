from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from streamdet.training.checking.coverage import anchor_coverage
from streamdet.training.pictures.coverage import draw_anchor_coverage
from streamdet.training.pictures.curves import draw_average_precision, draw_losses, smooth
from streamdet.training.pictures.metrics import Metrics, read_metrics
from streamdet.training.pictures.precision_recall import draw_precision_recall
from streamdet.training.pictures.style import MOST_CLASSES, drawable, font_path, most_frequent, plain
from streamdet.types import Detections
from tests.rectangles import labelled
from tests.training.pictures.found import CAR, PERSON, SIZE, A, B, assessment, card, found

HEADER = "step,classification_loss,box_loss,positives,learning_rate,AP val,AP50 val,AP other,AP50 other\n"


def metrics_of(text: str, folder: Path) -> Metrics:
    (folder / "metrics.csv").write_text(text, encoding="utf-8")
    return read_metrics(folder / "metrics.csv")


def test_metrics_with_empty_nan_and_torn_cells(tmp_path: Path) -> None:
    metrics = metrics_of(HEADER + "10,1.5,nan,7,1e-3,,,,\n20,inf,0.5,7,2e-3,0.1,0.3,nan,nan\n30,0.7,0.", tmp_path)
    assert metrics.curve("classification_loss")[0].tolist() == [10, 30]
    assert metrics.curve("classification_loss")[1].tolist() == [1.5, 0.7]
    assert metrics.curve("box_loss")[0].tolist() == [20, 30]
    assert metrics.curve("AP50 val")[1].tolist() == [0.3]
    assert metrics.validation_names == ["val"]
    assert metrics.curve("something else")[0].size == 0
    draw_losses(metrics, tmp_path / "loss.png")
    draw_average_precision(metrics, tmp_path / "ap.png")


@pytest.mark.parametrize("text", [None, "", HEADER])
def test_no_metrics(text: str | None, tmp_path: Path) -> None:
    metrics = read_metrics(tmp_path / "none.csv") if text is None else metrics_of(text, tmp_path)
    assert metrics.validation_names == []
    assert metrics.curve("step")[0].size == 0


def test_one_step_and_a_loss_of_zero(tmp_path: Path) -> None:
    metrics = metrics_of(HEADER + "1,0.0,0.0,0,0.0,0.0,0.0,,\n", tmp_path)
    draw_losses(metrics, tmp_path / "loss.png")
    draw_average_precision(metrics, tmp_path / "ap.png")
    for name in ("loss.png", "ap.png"):
        with Image.open(tmp_path / name) as picture:
            assert picture.format == "PNG"


def test_smoothing_is_a_mean_over_a_twentieth() -> None:
    values = np.random.default_rng(0).normal(size=200)
    means = smooth(values)
    assert means[100] == pytest.approx(values[95:106].mean())
    assert means[0] == pytest.approx(values[:6].mean())
    assert means[199] == pytest.approx(values[194:].mean())
    assert smooth(values[:5]).tolist() == pytest.approx(values[:5].tolist())
    assert smooth(np.zeros(0)).size == 0


def pixels_of(path: Path) -> npt.NDArray[np.int64]:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB")).astype(np.int64)


def dots_in(path: Path) -> bool:
    """Whether there is a dot: dark blue, several pixels wide, beside its white ring."""
    pixels = pixels_of(path)
    blue = (np.abs(pixels - (0x3F, 0x90, 0xDA)).max(axis=2) < 10).astype(int)
    sums = blue.cumsum(0).cumsum(1)
    blocks = sums[12:, 12:] - sums[:-12, 12:] - sums[12:, :-12] + sums[:-12, :-12]
    return bool((blocks == 12 * 12).any())


def test_the_operating_point_is_marked_where_there_is_one(tmp_path: Path) -> None:
    shown = assessment(
        (labelled("1", SIZE, [A, B], [CAR, PERSON]), found((A, 0.9, CAR), (B, 0.6, CAR), (B, 0.3, PERSON)))
    )
    draw_precision_recall(shown, card(), tmp_path / "with.png")
    draw_precision_recall(shown, card(car=0.95), tmp_path / "without.png")
    assert dots_in(tmp_path / "with.png")
    assert not dots_in(tmp_path / "without.png")


def test_precision_recall_of_many_classes_and_of_nothing_found(tmp_path: Path) -> None:
    names = tuple(f"class {number} of many" for number in range(100))
    images = [labelled(str(k), SIZE, [A], [k], known=[True] * 100) for k in range(30)]
    shown = assessment(*((image, Detections.empty(names)) for image in images), names=names)
    draw_precision_recall(shown, card(), tmp_path / "many.png")
    coverage = anchor_coverage(images, names, card().config.anchors, card().input_rule)
    draw_anchor_coverage(coverage, tmp_path / "coverage.png")
    with Image.open(tmp_path / "many.png") as curves, Image.open(tmp_path / "coverage.png") as bars:
        assert curves.height < 2 * curves.width
        assert bars.height < 2 * bars.width


def test_bars_of_coverage_are_as_long_as_the_shares(tmp_path: Path) -> None:
    # Of four objects one, a line of 2 x 90 pixels, fits no anchor at all.
    images = [
        labelled(str(k), SIZE, [box], [CAR]) for k, box in enumerate(([20, 20, 84, 84],) * 3 + ([20, 20, 22, 110],))
    ]
    coverage = anchor_coverage(images, card().class_names, card().config.anchors, card().input_rule)
    assert (coverage.total.good, coverage.total.poor) == (0.75, 0.25)
    draw_anchor_coverage(coverage, tmp_path / "coverage.png")
    pixels = pixels_of(tmp_path / "coverage.png")
    lengths = [(np.abs(pixels - rgb).max(axis=2) < 6).sum(axis=1) for rgb in ((0x3F, 0x90, 0xDA), (0xE7, 0x63, 0))]
    row = int(np.flatnonzero(lengths[1] > 100)[0])  # the first bar, of all objects, at its upper edge
    assert lengths[0][row + 2] / lengths[1][row + 2] == pytest.approx(3, abs=0.05)


def test_the_most_frequent_stay_in_their_order() -> None:
    assert most_frequent("abc", [1, 3, 2]) == ["a", "b", "c"]
    counts = [number % 30 for number in range(60)]
    kept = most_frequent(list(range(60)), counts)
    assert len(kept) == MOST_CLASSES == 20
    assert kept == sorted(kept)
    assert min(counts[place] for place in kept) == 20


def test_names_that_fonts_or_matplotlib_would_stumble_over() -> None:
    assert drawable("Straßenbahn Щ λ") == "Straßenbahn Щ λ"
    assert drawable("a\nb\t c") == "a b c"
    assert drawable("\U0001f697") in ("\U0001f697", "□")
    long = drawable("a" * 100 + "end")
    assert len(long) == 24
    assert long.endswith("end")
    assert plain("$x$") == r"\$x\$"
    assert Path(font_path("Straße")).exists()
    assert Path(font_path("\ue000")).exists()
