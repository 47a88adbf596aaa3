from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from streamdet.cli.app import main
from streamdet.detection.checkpoint import save_model
from tests.media import make_clip
from tests.networks import tiny_model


@dataclass(frozen=True)
class Outcome:
    """What a command left behind."""

    exit_code: int
    out: str
    err: str


Streamdet = Callable[..., Outcome]


@pytest.fixture
def streamdet(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Streamdet:
    """Runs the command in this process, in an empty folder, as the shell would."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str | Path) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["streamdet", *map(str, arguments)])
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        captured = capfd.readouterr()
        return Outcome(code, captured.out, captured.err)

    return call


@pytest.fixture(scope="session")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random model that finds some boxes in every picture and takes milliseconds."""
    model = tiny_model()
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    save_model(path, model.network, replace(model.card, thresholds={"*": 0.4}))
    return path


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds with sound, the index in front."""
    return make_clip(
        tmp_path_factory.mktemp("clip") / "clip.mp4",
        frames=50,
        audio="aac",
        container_options={"movflags": "faststart"},
    )
