from __future__ import annotations

import json
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest


def add_some(path: Path, seed: int) -> None:
    from record import Record

    record = Record(path, {"images": 10})
    for number in range(20):
        record.add({"name": "focal", "seed": seed, "number": number})


def test_runs_are_found_again_and_other_settings_refused(scripts: Path, tmp_path: Path) -> None:
    from record import Record

    path = tmp_path / "new" / "results.json"
    record = Record(path, {"images": 10, "precision": "float32"})
    assert record.runs == []
    record.add({"name": "focal", "seed": 0, "AP": 0.3})
    record.add({"name": "focal", "seed": 1, "AP": 0.4})

    again = Record(path, {"images": 10, "precision": "float32"})
    assert again.find(name="focal", seed=1) == {"name": "focal", "seed": 1, "AP": 0.4}
    assert again.find(name="focal", seed=2) is None
    assert again.find(name="ce") is None
    said = r"other settings \(precision float32 -> bfloat16, crop None -> 0.5\)"
    with pytest.raises(SystemExit, match=said):
        Record(path, {"images": 10, "precision": "bfloat16", "crop": 0.5})
    assert again.runs == record.runs


def test_several_processes_add_to_one_record(scripts: Path, tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    with ProcessPoolExecutor(4) as processes:
        list(processes.map(add_some, [path] * 4, range(4)))
    runs = json.loads(path.read_text())["runs"]
    assert len(runs) == 80
    assert {(run["seed"], run["number"]) for run in runs} == {(seed, n) for seed in range(4) for n in range(20)}
