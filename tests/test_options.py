from __future__ import annotations

from pathlib import Path

import pytest

from streamdet.errors import UsageError
from streamdet.options import CommonOptions, RunOptions, parse_classes, parse_size


def test_video_is_named_after_the_source_in_the_current_folder() -> None:
    assert RunOptions("films/street.mkv").video_path == Path("street.annotated.mp4")
    assert RunOptions("films/").video_path == Path("films.annotated.mp4")
    assert RunOptions("a.mp4", out=Path("b.mkv")).video_path == Path("b.mkv")
    assert RunOptions("a.mp4", video=False, common=CommonOptions(jsonl="-")).video_path is None


@pytest.mark.parametrize(
    ("text", "size"),
    [(None, None), ("480x800", (480, 800)), ("800x480", (480, 800)), ("480", (480, 800)), ("64X64", (64, 64))],
)
def test_size(text: str | None, size: tuple[int, int] | None) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "x", "480x", "480x800x3", "-480", "10", "99999", "a x b", "4\u0668"])
def test_wrong_size_says_what_to_give(text: str) -> None:
    with pytest.raises(UsageError, match=r"--size is .*480x800|--size is .*between 32"):
        parse_size(text)


def test_classes() -> None:
    assert parse_classes(None) is None
    assert parse_classes(" car, person,car") == ("car", "person")
    with pytest.raises(UsageError, match="--classes"):
        parse_classes(" , ")


def test_contradictions_are_refused() -> None:
    with pytest.raises(UsageError, match="--no-video leaves nothing to write"):
        RunOptions("a.mp4", video=False)
    with pytest.raises(UsageError, match="contradict"):
        RunOptions("a.mp4", video=False, out=Path("b.mp4"), common=CommonOptions(jsonl="-"))
    with pytest.raises(UsageError, match="same file"):
        RunOptions("a.mp4", out=Path("b.mp4"), common=CommonOptions(jsonl="./b.mp4"))
    with pytest.raises(UsageError, match=r"--conf is 1\.5"):
        CommonOptions(conf={"*": 1.5})
    with pytest.raises(UsageError, match="--batch is 0"):
        CommonOptions(batch=0)
