from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest

from tests.cli.conftest import Streamdet
from tests.media import boxes_of, damage_packets, make_clip, packets_of, times_of
from tests.video.checking.planting import make_source


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A good second of blobs that drift, with sound."""
    return make_source(tmp_path_factory.mktemp("clip") / "clip.mp4", 30, audio="aac")


def pixels(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray() for frame in container.decode(video=0)]


def same_pixels(left: Path, right: Path) -> bool:
    ours, theirs = pixels(left), pixels(right)
    return len(ours) == len(theirs) > 0 and all(np.array_equal(*pair) for pair in zip(ours, theirs, strict=True))


PLACES = ("--line", "gate:0.5,0,0.5,1", "--zone", "yard:10,10,150,10,150,110,10,110")
CHOICES: dict[str, tuple[str, ...]] = {
    "nothing": (),
    "a higher score": ("--conf", "0.5"),
    "scores by class": ("--conf", "0.45,car=0.6"),
    "some classes": ("--classes", "person,bicycle"),
    "tracks": ("--track",),
    "tracks of a class": ("--track", "--classes", "car", "--conf", "0.5"),
    "places": PLACES,
    "blurred": ("--blur", "person"),
    "blurred and hidden": ("--blur", "person", "--classes", "car,bicycle"),
    "a part, every third frame": ("--start", "0.2", "--end", "1.1", "--every", "3", "--track"),
}


@pytest.mark.parametrize("name", CHOICES)
def test_draw_gives_the_pixels_of_run_with_the_same_options(
    streamdet: Streamdet, clip: Path, model_file: Path, name: str
) -> None:
    options = CHOICES[name]
    done = streamdet("run", clip, "--model", model_file, *options, "--out", "run.mp4", "--jsonl", "own.jsonl")
    assert done.exit_code == 0, done.err
    window = [part for part in options if part.startswith(("--start", "--end", "--every")) or part[0].isdigit()]
    if "--start" not in options:
        window = []
    # from the detections of that very run, and from those of one that kept all
    streamdet("run", clip, "--model", model_file, "--no-video", "--keep", "0.05", *window, "--jsonl", "all.jsonl")
    for detections, given in (("own.jsonl", window), ("all.jsonl", options)):
        done = streamdet("draw", clip, detections, *given, "--out", "draw.mp4", "--overwrite")
        assert done.exit_code == 0, done.err
        assert same_pixels(Path("run.mp4"), Path("draw.mp4")), detections
        assert times_of(Path("draw.mp4")) == times_of(Path("run.mp4"))
        assert packets_of(Path("draw.mp4"), "audio") == packets_of(Path("run.mp4"), "audio")


def test_other_options_give_other_pixels(streamdet: Streamdet, clip: Path, model_file: Path) -> None:
    streamdet("run", clip, "--model", model_file, "--out", "run.mp4", "--jsonl", "a.jsonl")
    for options in (("--conf", "0.7"), ("--classes", "car"), ("--colour", "car=#102030"), PLACES, ("--blur", "car")):
        assert streamdet("draw", clip, "a.jsonl", *options, "--out", "draw.mp4", "--overwrite").exit_code == 0
        assert not same_pixels(Path("run.mp4"), Path("draw.mp4")), options


def test_the_file_is_a_plain_one_and_nothing_is_replaced_unasked(
    streamdet: Streamdet, clip: Path, model_file: Path
) -> None:
    streamdet("run", clip, "--model", model_file, "--no-video", "--jsonl", "a.jsonl")
    done = streamdet("draw", clip, "a.jsonl")
    assert done.exit_code == 0, done.err
    assert "30 decoded · 30 drawn" in done.err
    boxes = boxes_of(Path("clip.annotated.mp4"))
    assert boxes.index("moov") < boxes.index("mdat")
    assert streamdet("draw", clip, "a.jsonl").exit_code == 2
    assert streamdet("draw", clip, "a.jsonl", "--overwrite").exit_code == 0
    assert streamdet("draw", clip, "a.jsonl", "--out", "a.avi").exit_code == 2


def test_what_a_run_blurred_stays_blurred(streamdet: Streamdet, clip: Path, model_file: Path) -> None:
    streamdet("run", clip, "--model", model_file, "--blur", "car", "--out", "run.mp4", "--jsonl", "a.jsonl")
    done = streamdet("draw", clip, "a.jsonl", "--out", "draw.mp4")
    assert "blurred" in done.err
    assert same_pixels(Path("run.mp4"), Path("draw.mp4"))


def test_weaker_objects_than_the_file_holds_are_told(streamdet: Streamdet, clip: Path, model_file: Path) -> None:
    streamdet("run", clip, "--model", model_file, "--no-video", "--jsonl", "a.jsonl")
    done = streamdet("draw", clip, "a.jsonl", "--conf", "0.2")
    assert done.exit_code == 0
    assert "the file holds no car below 0.4" in " ".join(done.err.replace("│", " ").split())


def test_a_fragment_is_never_called_a_success(streamdet: Streamdet, clip: Path, model_file: Path) -> None:
    streamdet("run", clip, "--model", model_file, "--no-video", "--jsonl", "a.jsonl")
    lines = Path("a.jsonl").read_text().splitlines(keepends=True)
    Path("killed.jsonl").write_text("".join(lines[:21]))
    done = streamdet("draw", clip, "killed.jsonl", "--out", "draw.mp4")
    assert done.exit_code == 5
    assert "partial" in done.err
    assert "10 without a line left out" in done.err
    assert len(times_of(Path("draw.mp4"))) == 20


def test_other_clips_and_live_files_are_refused(streamdet: Streamdet, clip: Path, model_file: Path) -> None:
    streamdet("run", clip, "--model", model_file, "--no-video", "--jsonl", "a.jsonl")
    make_clip(Path("other.mp4"), frames=30, rate=30)
    refused = streamdet("draw", "other.mp4", "a.jsonl", "--out", "draw.mp4")
    assert refused.exit_code == 1
    assert "a.jsonl is about another video: it has a frame at 0.040 s" in refused.err
    make_clip(Path("short.mp4"), frames=20)
    refused = streamdet("draw", "short.mp4", "a.jsonl", "--out", "short.annotated.mp4")
    assert refused.exit_code == 5
    assert "a.jsonl has 10 more frames than the clip" in " ".join(refused.err.replace("│", " ").split())
    line = json.loads(Path("a.jsonl").read_text().splitlines()[1]) | {"stream": "front", "session": 0, "utc_s": 1.0}
    Path("live.jsonl").write_text(Path("a.jsonl").read_text().splitlines()[0] + "\n" + json.dumps(line) + "\n")
    refused = streamdet("draw", clip, "live.jsonl", "--out", "live.mp4")
    assert refused.exit_code == 2
    assert "is about live cameras" in refused.err
    assert streamdet("draw", clip, "a.jsonl", "--conf", "pony=0.4", "--out", "b.mp4").exit_code == 2
    assert streamdet("draw", clip, "a.jsonl", "--colour", "car=red", "--out", "b.mp4").exit_code == 2


def test_damaged_clips_are_drawn_as_run_has_it(streamdet: Streamdet, tmp_path: Path, model_file: Path) -> None:
    whole = make_clip(tmp_path / "whole.mp4", frames=120, options={"g": "24", "bf": "0"})
    damage_packets(whole, tmp_path / "damaged.mp4", 5, 200, offset=10)
    streamdet("run", "damaged.mp4", "--model", model_file, "--out", "run.mp4", "--jsonl", "a.jsonl")
    assert streamdet("draw", "damaged.mp4", "a.jsonl", "--out", "draw.mp4").exit_code == 0
    assert same_pixels(Path("run.mp4"), Path("draw.mp4"))


WITHOUT_TORCH = """
import sys
from streamdet.cli.app import main
sys.argv = ["streamdet", "draw", *sys.argv[1:]]
try:
    main()
except SystemExit as stop:
    assert not stop.code, stop.code
assert not {"torch", "torchvision"} & sys.modules.keys()
"""


def test_no_network_is_needed(streamdet: Streamdet, clip: Path, model_file: Path) -> None:
    streamdet("run", clip, "--model", model_file, "--no-video", "--jsonl", "a.jsonl", "--track")
    arguments = [str(clip), "a.jsonl", "--out", "draw.mp4", *PLACES, "--blur", "person"]
    subprocess.run([sys.executable, "-c", WITHOUT_TORCH, *arguments], check=True)
    assert len(times_of(Path("draw.mp4"))) == 30
