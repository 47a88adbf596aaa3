from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2


def run(start: str, frames: int, new: float, old: float, seed: int = 0, *, stopped: bool = False) -> dict[str, Any]:
    scores = {"newcamera_test": {"AP50": new}, "val_street": {"AP50": old}}
    return {"start": start, "frames": frames, "seed": seed, "minutes": 12.0, "stopped_early": stopped, "scores": scores}


RUNS = [
    run("before", 0, 0.44, 0.89),
    run("model", 50, 0.60, 0.42),
    run("model", 10, 0.50, 0.52, seed=0),
    run("model", 10, 0.54, 0.50, seed=1),
    run("imagenet", 50, 0.41, 0.2, stopped=True),
]


def test_the_table_tells_seeds_gaps_and_runs_that_were_cut_off(scripts: Path) -> None:
    from fine_tune_table import make_table

    lines = make_table(RUNS).splitlines()
    assert "| frames | from the shipped model | ImageNet only | minutes | val_street after |" in lines
    assert "| 0 | 0.440 | – | 0 | 0.890 |" in lines
    assert "| 10 | 0.520 ± 0.028 | – | 12.0 | 0.510 ± 0.014 |" in lines
    assert lines[-3] == "| 50 | 0.600 | 0.410 | 12.0 | 0.420 |"
    assert lines[-1] == "Stopped at the time limit: imagenet with 50 frames."


def test_the_curve_is_drawn_of_what_there_is(scripts: Path, tmp_path: Path) -> None:
    from fine_tune_table import draw_curve

    path = tmp_path / "curve.png"
    draw_curve(RUNS, path)
    picture = cv2.imread(str(path))
    assert picture is not None
    green = (abs(picture.astype(int) - (0x4F, 0x6E, 0x0B)).max(axis=2) < 30).sum()
    assert green > 300  # the shipped model's line
