from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import streamdet
from streamdet.detection.shipped import shipped_model_path

LOOK = """
import sys
import streamdet
print(*sorted({name.split(".")[0] for name in sys.modules}))
"""


def test_import_is_light() -> None:
    done = subprocess.run([sys.executable, "-c", LOOK], capture_output=True, text=True, check=True)
    modules = done.stdout.split()
    assert "streamdet" in modules
    assert not {"torch", "torchvision", "cv2", "av", "numpy", "typer", "rich"} & set(modules)


def test_help_is_shown_without_heavy_libraries() -> None:
    look = LOOK.replace("import streamdet\n", "import streamdet.cli.app\n")
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    modules = done.stdout.split()
    assert "typer" in modules
    assert not {"torch", "torchvision", "cv2", "av", "numpy", "scipy", "matplotlib", "yaml"} & set(modules)


def test_public_names_are_there_and_no_others() -> None:
    for name in streamdet.__all__:
        assert getattr(streamdet, name) is not None
        assert name in dir(streamdet)
    with pytest.raises(AttributeError, match="has no attribute 'detektor'"):
        _ = streamdet.detektor


def test_version_is_the_installed_one() -> None:
    assert version("streamdet") == streamdet.__version__


def test_shipped_model_is_found_by_name_only() -> None:
    path = shipped_model_path("street")
    assert path is not None
    assert path.name == "street.safetensors"
    for name in ("", "none", "../models/street", str(Path("models") / "street")):
        assert shipped_model_path(name) is None
