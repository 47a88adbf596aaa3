from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from streamdet.errors import UsageError
from streamdet.training.distributed import Processes, described_processes
from tests.training_runs import (
    OPTIONS,
    break_objective,
    free_port,
    holds,
    make_trainer,
    run_together,
    start_process,
    write_data,
)

BAD = "train_5.png"


def metrics(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_two_processes_learn_what_one_learns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same losses, weights, scores and skipped steps as one process with the same batches."""
    monkeypatch.setattr("streamdet.training.trainer.LOG_EVERY_STEPS", 1)
    data = write_data(tmp_path / "data")
    options = replace(OPTIONS, images_seen=40, batch_size=4, accumulate=2, optimizer="sgd", multi_scale=(0.7, 1.4))
    alone = make_trainer(tmp_path / "alone", data, options)
    break_objective(alone, lambda prepared: holds(prepared, BAD))
    alone.run(lambda progress: None)
    port = free_port()
    started = [
        start_process(run_together, rank, 2, port, tmp_path / "together", data, options, BAD) for rank in range(2)
    ]
    for process in started:
        process.join(100)
    assert [process.exitcode for process in started] == [0, 0]

    ours, theirs = metrics(tmp_path / "alone"), metrics(tmp_path / "together")
    assert [row["step"] for row in theirs] == [row["step"] for row in ours] == ["1", "2", "3", "4", "5"]
    for own, other in zip(ours, theirs, strict=True):
        assert other["positives"] == own["positives"]
        for column in ("classification_loss", "box_loss", "learning_rate"):
            assert float(other[column]) == pytest.approx(float(own[column]), rel=1e-4, abs=2e-6, nan_ok=True)
    assert float(theirs[-1]["AP val"]) == pytest.approx(float(ours[-1]["AP val"]), abs=1e-3)
    states = [torch.load(tmp_path / name / "state.pt", weights_only=True) for name in ("alone", "together")]
    assert states[1]["step"] == states[0]["step"]
    torch.testing.assert_close(states[1]["network"], states[0]["network"], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(states[1]["average"], states[0]["average"], atol=1e-5, rtol=1e-4)
    assert states[1]["positive_count"] == pytest.approx(states[0]["positive_count"])

    records = [
        [json.loads(line) for line in (tmp_path / name / "bad_steps.jsonl").read_text().splitlines()]
        for name in ("alone", "together")
    ]
    assert [record["step"] for record in records[1]] == [record["step"] for record in records[0]]
    assert 1 <= len(records[0]) < 5
    for own, other in zip(*records, strict=True):
        assert len(other["samples"]) == 8
        guilty = [sorted(str(s["paths"]) for s in record["samples"] if s["guilty"]) for record in (own, other)]
        assert guilty[0] == guilty[1]
        assert all(BAD in paths for paths in guilty[0])


def test_who_is_who() -> None:
    assert described_processes({}) == Processes()
    torchrun = {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1"}
    assert described_processes(torchrun) == Processes(3, 4, 1)
    assert not described_processes(torchrun).is_main
    with pytest.raises(UsageError, match="WORLD_SIZE is '4', but RANK and LOCAL_RANK don't go with it"):
        described_processes({"WORLD_SIZE": "4", "RANK": "0"})


def test_one_process_alone_talks_to_nobody() -> None:
    alone = Processes()
    assert alone.sum(torch.tensor([2.0])).tolist() == [2.0]
    assert alone.sum_pair(3, 4) == (3, 4)
    assert alone.gather("x") == ["x"]
    network = torch.nn.Linear(2, 2)
    assert alone.join(network, torch.device("cpu")) is network
    alone.leave()


def test_what_processes_can_not_share(tmp_path: Path) -> None:
    data = write_data(tmp_path / "data")
    with pytest.raises(UsageError, match="--batch is 4, which 3 processes can't share evenly"):
        make_trainer(tmp_path / "run", data, processes=Processes(0, 3, 0))
    with pytest.raises(UsageError, match="--batch-norm is live, but 2 processes on CPUs can't share its statistics"):
        make_trainer(tmp_path / "run", data, processes=Processes(0, 2, 0), batch_norm="live")


@pytest.mark.gpu
def test_live_batch_norm_is_shared_between_gpu_processes() -> None:
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1), torch.nn.BatchNorm2d(4))
    Processes(0, 2, 0).synchronise_batch_norm(network, torch.device("cuda", 0))
    assert isinstance(network[1], torch.nn.SyncBatchNorm)
