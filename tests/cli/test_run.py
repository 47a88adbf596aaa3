from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import cv2
import pytest

from streamdet.results.jsonl_reading import read_jsonl
from streamdet.training.dataset import read_sets
from tests.cli.conftest import Streamdet
from tests.media import boxes_of, damage_packets, make_clip, make_sound, packets_of, test_picture, times_of, truncate


def test_a_clip_comes_out_annotated_whole_and_on_time(streamdet: Streamdet, clip: Path, model_file: Path) -> None:
    done = streamdet("run", clip, "--model", model_file, "--jsonl", "boxes.jsonl", "--report", "run.json")
    assert done.exit_code == 0, done.err
    assert done.out == ""
    assert "complete" in done.err
    assert "50 in the source · 50 decoded · 50 detected · 50 written" in " ".join(done.err.split()).replace("│ ", "")
    out = Path("clip.annotated.mp4")
    assert times_of(out) == times_of(clip)
    assert packets_of(out, "audio") == packets_of(clip, "audio")
    boxes = boxes_of(out)
    assert boxes.index("moov") < boxes.index("mdat")
    assert "moof" not in boxes
    header, lines = read_jsonl("boxes.jsonl")
    found = list(lines)
    assert header["model"] == "tiny"
    assert header["thresholds"] == {"car": 0.4, "person": 0.4, "bicycle": 0.4}
    assert lines.complete
    assert [line.index for line in found] == list(range(50))
    assert sum(len(line.detections) for line in found) > 50
    report = json.loads(Path("run.json").read_text())
    assert report["verdict"] == "complete"
    assert report["frames"]["in_container"] == report["frames"]["written"] == 50
    assert report["media_s"] == pytest.approx(2.0)
    assert set(report["stages"]) == {"decode", "resize", "copy", "network", "postprocess", "draw", "encode"}
    assert all(stage["frames"] == 50 for stage in report["stages"].values())


def test_without_a_gpu_the_cpu_decodes_and_encodes_and_that_is_told(
    streamdet: Streamdet, clip: Path, model_file: Path
) -> None:
    done = streamdet(
        "run", clip, "--model", model_file, "--decode", "gpu", "--encode", "gpu", "--report", "run.json", "--end", "0.4"
    )
    assert done.exit_code == 0, done.err
    report = json.loads(Path("run.json").read_text())
    assert report["frames"]["written"] == 10
    assert times_of(Path("clip.annotated.mp4")) == times_of(clip)[:10]
    if not Path("/dev/nvidiactl").exists():
        for told in ("decoded on the CPU: NVDEC can't be used", "encoded on the CPU: NVENC can't be used"):
            assert sum(note.startswith(told) for note in report["notes"]) == 1


def test_existing_files_are_only_replaced_when_asked(streamdet: Streamdet, clip: Path, model_file: Path) -> None:
    Path("old.mp4").write_text("precious")
    refused = streamdet("run", clip, "--model", model_file, "--out", "old.mp4")
    assert refused.exit_code == 2
    assert refused.err == "streamdet: old.mp4 exists already; add --overwrite to replace it or choose another name\n"
    assert Path("old.mp4").read_text() == "precious"
    assert streamdet("run", clip, "--model", model_file, "--out", "old.mp4", "--overwrite").exit_code == 0
    assert len(times_of(Path("old.mp4"))) == 50


def test_json_lines_alone_on_standard_output(streamdet: Streamdet, clip: Path, model_file: Path) -> None:
    done = streamdet("run", clip, "--model", model_file, "--no-video", "--jsonl", "-", "--every", "10", "--conf", "0.3")
    assert done.exit_code == 0, done.err
    lines = [json.loads(line) for line in done.out.splitlines()]
    assert [line["type"] for line in lines] == ["header", *["frame"] * 5, "end"]
    assert [line["time_s"] for line in lines[1:-1]] == pytest.approx([0, 0.4, 0.8, 1.2, 1.6])
    assert all(box["score"] > 0.3 for line in lines[1:-1] for box in line["boxes"])
    assert not list(Path().glob("*.mp4"))


def test_only_the_classes_asked_for(streamdet: Streamdet, clip: Path, model_file: Path) -> None:
    streamdet("run", clip, "--model", model_file, "--no-video", "--jsonl", "a", "--classes", "person", "--every", "9")
    _, lines = read_jsonl("a")
    assert {name for line in lines for name in line.detections.names} == {"person"}


def test_a_part_of_a_clip(streamdet: Streamdet, clip: Path, model_file: Path) -> None:
    done = streamdet("run", clip, "--model", model_file, "--start", "0.5", "--end", "1", "--out", "part.mp4")
    assert done.exit_code == 0, done.err
    assert times_of(Path("part.mp4")) == [time for time in times_of(clip) if 0.5 <= time < 1]


def test_damage_inside_is_counted_and_passed_over(streamdet: Streamdet, tmp_path: Path, model_file: Path) -> None:
    whole = make_clip(tmp_path / "whole.mp4", frames=240, options={"g": "24", "bf": "0"})
    damage_packets(whole, tmp_path / "damaged.mp4", 9, 200)
    arguments = ("run", "damaged.mp4", "--model", model_file, "--report", "run.json", "--overwrite")
    done = streamdet(*arguments)
    assert done.exit_code == 0, done.err
    frames = json.loads(Path("run.json").read_text())["frames"]
    assert frames["in_container"] == 240
    assert frames["lost"] + frames["damaged"] >= 9
    assert frames["decoded"] == frames["written"] == 240 - frames["lost"]
    assert f"{frames['lost']} lost to damage" in done.err
    assert streamdet(*arguments, "--strict").exit_code == 5


def test_a_source_that_was_cut_off_is_never_called_a_success(
    streamdet: Streamdet, clip: Path, model_file: Path
) -> None:
    truncate(clip, Path("cut.mp4"), 0.6)
    done = streamdet("run", "cut.mp4", "--model", model_file, "--report", "run.json", "--jsonl", "a.jsonl")
    assert done.exit_code == 5
    assert "partial" in done.err
    report = json.loads(Path("run.json").read_text())
    assert report["verdict"] == "partial"
    assert 0 < report["frames"]["written"] < 50
    _, lines = read_jsonl("a.jsonl")
    list(lines)
    assert lines.complete is False


def test_images_and_folders(streamdet: Streamdet, model_file: Path) -> None:
    Path("shots").mkdir()
    for index in (1, 2, 10):
        cv2.imwrite(f"shots/shot{index}.png", test_picture(index, (161, 121))[:, :, ::-1])
    Path("shots/shot3.jpg").write_bytes(b"not a picture")
    done = streamdet("run", "shots", "--model", model_file, "--report", "run.json")
    assert done.exit_code == 0, done.err
    assert "shot3.jpg" in done.err
    assert len(times_of(Path("shots.annotated.mp4"))) == 3
    assert streamdet("run", "shots/shot1.png", "--model", model_file).exit_code == 0
    assert len(times_of(Path("shot1.annotated.mp4"))) == 1


def test_detections_in_a_folder_of_pictures_become_labels(streamdet: Streamdet, model_file: Path) -> None:
    Path("labelled/images").mkdir(parents=True)
    for index in range(3):
        cv2.imwrite(f"labelled/images/shot{index}.png", test_picture(index, (161, 121))[:, :, ::-1])
    arguments = ["--no-video", "--jsonl", "labelled/train.jsonl", "--model", str(model_file)]
    assert streamdet("run", "labelled/images", *arguments).exit_code == 0
    [dataset], _ = read_sets([Path("labelled")])
    assert [image.path.name for image in dataset.images] == ["shot0.png", "shot1.png", "shot2.png"]
    assert sum(len(image.boxes_xyxy) for image in dataset.images) > 3


def test_several_files_go_into_a_folder(streamdet: Streamdet, clip: Path, model_file: Path) -> None:
    Path("out").mkdir()
    shutil.copy(clip, "other.mp4")
    done = streamdet("run", clip, "other.mp4", "--out", "out", "--model", model_file)
    assert done.exit_code == 0, done.err
    assert times_of(Path("out/clip.annotated.mp4")) == times_of(Path("out/other.annotated.mp4")) == times_of(clip)


@pytest.mark.parametrize(
    ("arguments", "exit_code", "sentence"),
    [
        (("missing.mp4",), 3, "there is no file or folder missing.mp4"),
        (("text.mp4",), 3, "text.mp4"),
        (("CLIP", "--model", "nonesuch"), 4, "there is no model 'nonesuch'; give one of street"),
        (("CLIP", "--classes", "elephant"), 2, "knows no class 'elephant'; it knows car, person, bicycle"),
        (("CLIP", "--size", "big"), 2, "--size is 'big'"),
        (("CLIP", "--start", "5", "--end", "2"), 2, "--end is 2"),
        (("CLIP", "--start", "900"), 3, "give times inside the video, which is 2.00 s long"),
        (("CLIP", "--device", "cuda:77"), 2, "--device is 'cuda:77'"),
        (("CLIP", "--out", "out.gif"), 2, "out.gif"),
        (("CLIP", "--out", "no/such/folder/out.mp4"), 1, "folder"),
        (("CLIP", "--out", "out"), 2, "out has no ending"),
        (("CLIP", "CLIP", "--out", "out.mp4"), 2, "is one file for 2 sources"),
        (("CLIP", "0"), 2, "files and live sources don't go together"),
        ((), 2, "there is no source"),
        (("CLIP", "--out", f"{'long' * 70}.mp4"), 1, "can't be written: file name too long"),
        (("CLIP", "--report", "no/such/folder/run.json"), 1, "there is no folder no/such/folder"),
        (("CLIP", "--jsonl", "no/such/folder/boxes"), 1, "there is no folder no/such/folder"),
        (("CLIP", "--report", "shots"), 2, "shots is a folder"),
        (("CLIP", "--report", "-"), 2, "--report - is no file"),
        (("CLIP", "--report", "/dev/null", "--overwrite"), 2, "/dev/null is a device or pipe"),
        (("CLIP", "--every", "0"), 2, "--every is 0"),
        (("rtsp://127.0.0.1:9/a", "--decode", "gpu"), 2, "--decode gpu is for files: leave it out"),
        (("rtsp://127.0.0.1:9/a", "--encode", "gpu"), 2, "--encode gpu is for files: leave it out"),
        (("sound.m4a",), 3, "no picture in sound.m4a: it has no video track"),
        (("shots",), 3, "no image in the folder shots"),
        (("x" * 300,), 3, "can't be opened: file name too long"),
    ],
)
def test_bad_input_gets_one_sentence(
    streamdet: Streamdet,
    clip: Path,
    model_file: Path,
    arguments: tuple[str, ...],
    exit_code: int,
    sentence: str,
) -> None:
    Path("text.mp4").write_text("this is not a video\n" * 100)
    Path("shots").mkdir()
    make_sound(Path("sound.m4a"))
    filled = [str(clip) if argument == "CLIP" else argument for argument in arguments]
    if "--model" not in filled:
        filled += ["--model", str(model_file)]
    done = streamdet("run", *filled)
    assert done.exit_code == exit_code, done.err
    assert sentence in done.err
    assert "Traceback" not in done.err
    assert done.err.startswith("streamdet: ")
    assert done.err.count("\n") == 1
    assert len(list(Path().rglob("*"))) == 3, "nothing was written"


@pytest.mark.parametrize("option", ["--out", "--jsonl", "--report"])
def test_the_source_is_never_overwritten(streamdet: Streamdet, clip: Path, model_file: Path, option: str) -> None:
    shutil.copy(clip, "clip.mp4")
    Path("link.mp4").symlink_to("clip.mp4")
    for name in ("clip.mp4", "link.mp4"):
        done = streamdet("run", "clip.mp4", "--model", model_file, option, name, "--overwrite")
        assert (done.exit_code, done.err) == (
            2,
            f"streamdet: {name} is the source itself: choose another name for the output\n",
        )
    assert Path("clip.mp4").read_bytes() == clip.read_bytes()


@pytest.mark.parametrize(
    "name",
    ["a b.mp4", "100%d.mp4", "ünï 監.mp4", "new\nline.mp4", "esc\x1b[31m.mp4", "[bold]x.mp4", os.fsdecode(b"\xff.mp4")],
    ids=ascii,
)
def test_names_of_all_kinds(streamdet: Streamdet, clip: Path, model_file: Path, name: str) -> None:
    shutil.copy(clip, name)
    arguments = ("--model", model_file, "--every", "25", "--report", "run.json", "--jsonl", "boxes.jsonl")
    done = streamdet("run", name, *arguments)
    assert done.exit_code == 0, done.err
    out = Path(f"{Path(name).stem}.annotated.mp4")
    assert len(times_of(out)) == 2
    shown = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in name)
    assert f"written  {Path(shown).stem}.annotated.mp4" in done.err
    assert json.loads(Path("run.json").read_text())["source"]["name"] == shown
    header, _ = read_jsonl("boxes.jsonl")
    assert header["source"] == shown


def test_times_of_lost_frames_are_told(streamdet: Streamdet, tmp_path: Path, model_file: Path) -> None:
    whole = make_clip(tmp_path / "whole.mp4", frames=60, options={"bf": "0"})
    numbers = damage_packets(whole, tmp_path / "damaged.mp4", 7, 200)
    arguments = ("--model", model_file, "--report", "run.json", "--every", "10", "--end", "100")
    done = streamdet("run", "damaged.mp4", *arguments)
    assert done.exit_code == 0, done.err
    lost_at_s = [number / 25 for number in numbers]
    assert json.loads(Path("run.json").read_text())["lost_at_s"] == pytest.approx(lost_at_s)
    assert f"{', '.join(f'{moment_s:.2f} s' for moment_s in lost_at_s[:5])}, and 2 more" in done.err
    assert "60 read · 53 decoded · 7 lost to damage" in done.err


def test_a_report_that_can_not_be_written_fails_after_the_receipt(
    streamdet: Streamdet, clip: Path, model_file: Path
) -> None:
    Path("run.json.part").mkdir()
    done = streamdet("run", clip, "--model", model_file, "--report", "run.json", "--every", "25")
    assert done.exit_code == 1
    assert "every frame accounted for (exit code 1)" in done.err
    assert done.err.splitlines()[-1].startswith("streamdet: cannot write the report run.json")


def test_debug_shows_the_traceback(streamdet: Streamdet) -> None:
    done = streamdet("run", "missing.mp4", "--debug")
    assert done.exit_code == 3
    assert "Traceback" in done.err


def test_usage_errors_and_help(streamdet: Streamdet) -> None:
    assert streamdet("run").exit_code == 2
    assert streamdet("run", "a.mp4", "--no-such-option").exit_code == 2
    assert streamdet("run", "a.mp4", "--quality", "best").exit_code == 2
    assert "streamdet 0." in streamdet("--version").out
    assert "--jsonl" in streamdet("run", "--help").out
