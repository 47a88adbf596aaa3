from __future__ import annotations

import ast
import io
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from streamdet.detection.detector import Detector
from tests.networks import tiny_model
from tests.threads import one_torch_thread

__all__ = ["one_torch_thread"]

pytestmark = pytest.mark.usefixtures("scripts")

STAGES = ("decode", "preprocess", "postprocess", "plot", "to YUV")


def their_line(overhead_ms: float, boxes: float = 20.0) -> dict[str, Any]:
    return {
        "frames": 3,
        "boxes": boxes,
        "overhead_ms": overhead_ms,
        "cpu_ms": {
            "decode": 4.0,
            "preprocess": 2.0,
            "inference": 50.0,
            "postprocess": 1.0,
            "plot": overhead_ms - 10,
            "to YUV": 2.0,
        },
        "speed_ms": {"preprocess": 2.5, "inference": 30.0, "postprocess": 1.5},
    }


def our_round(overhead_ms: float) -> Any:
    from against_ultralytics import Round

    return Round(overhead_ms, 40.0, dict.fromkeys(STAGES, 2.0), 21.0, {})


def test_ratios_are_those_of_the_rounds_and_numbers_are_medians() -> None:
    from against_ultralytics import medians, ratios, row, table, their_round

    theirs = [their_round(their_line(each)) for each in (30.0, 20.0, 24.0)]
    ours = [our_round(each) for each in (10.0, 10.0, 16.0)]
    assert ratios(theirs, ours) == [1.5, 2.0, 3.0]
    middle = medians(theirs)
    assert (middle.overhead_ms, middle.network_ms, middle.stages_ms["plot"]) == (24.0, 50.0, 14.0)
    console = Console(width=100, file=io.StringIO(), record=True)
    console.print(table(theirs, ours))
    words = " ".join(console.export_text().split())
    assert "preprocess 2.5 2.0 2.0" in words
    assert "all the rest – 1.0 0.0" in words
    assert "all but the network 24.0 10.0" in words
    told = row(theirs, ours, {"torch": "2", "ultralytics": "8"}, "yolo11n.yaml", "street")
    assert told.count("|") == 10
    cells = [cell.strip() for cell in told.split("|")]
    assert cells[6:9] == ["24.0 ms of CPU", "10.0 ms of CPU", "2.00 (1.50–3.00)"]


def test_our_side_counts_all_but_the_network(tmp_path: Path) -> None:
    from against_ultralytics import our_round as measured_round
    from clips import scaled_clip

    from streamdet.detection.precision import choose_placement

    clip = scaled_clip(tmp_path / "clip.mp4", (320, 180), 5)
    told = measured_round(clip, Detector(tiny_model(), choose_placement("cpu", "float32")))
    assert tuple(told.stages_ms) == STAGES
    assert all(each > 0 for name, each in told.stages_ms.items() if name != "to YUV")
    assert told.overhead_ms > 0
    assert told.network_ms > 0
    assert told.boxes > 0


def test_the_other_process_answers_line_by_line_and_its_end_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import against_ultralytics

    lines = ("import sys", "print('{\"first\": 1}', flush=True)", "input()", "print('{\"round\": 2}', flush=True)")
    stand_in = "\n".join(lines)
    (tmp_path / "ultralytics_side.py").write_text(stand_in)
    monkeypatch.setattr(against_ultralytics, "__file__", str(tmp_path / "against_ultralytics.py"))
    with against_ultralytics.ultralytics_side(Path(sys.executable), "clip.mp4") as side:
        assert against_ultralytics.answer(side) == {"first": 1}
        assert side.stdin is not None
        print("round", file=side.stdin, flush=True)
        assert against_ultralytics.answer(side) == {"round": 2}
        with pytest.raises(SystemExit, match="Ultralytics' side has stopped"):
            against_ultralytics.answer(side)
    assert side.returncode == 0


def test_their_side_needs_nothing_of_ours_and_finds_its_threshold(scripts: Path) -> None:
    source = (scripts / "ultralytics_side.py").read_text()
    tree = ast.parse(source)
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not any(name.startswith(("streamdet", "clips", "history")) for name in imported)
    [conf_of] = [each for each in tree.body if isinstance(each, ast.FunctionDef) and each.name == "conf_of"]
    space: dict[str, Any] = {}
    exec(ast.unparse(conf_of), space)
    scores = [0.3, 0.9, 0.1, 0.7, 0.5]
    assert [score for score in scores if score > space["conf_of"](scores, 3)] == [0.9, 0.7, 0.5]
    assert space["conf_of"](scores, 9) == 0.1


def test_it_says_how_to_get_ultralytics() -> None:
    import against_ultralytics

    assert against_ultralytics.__doc__ is not None
    assert "ultralytics-venv/bin/pip install ultralytics" in against_ultralytics.__doc__
    assert "--ultralytics-python ultralytics-venv/bin/python" in against_ultralytics.__doc__
