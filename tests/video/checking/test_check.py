from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from streamdet.errors import SourceError
from streamdet.video.base import UNFINISHED_COMMENT
from streamdet.video.checking.check import Checked, check_video
from tests.media import damage_packets, make_clip, test_picture, truncate
from tests.video.checking.planting import Pictures, annotate, make_source, moved, remake

VFR = [k * 40 + (k % 3) * 7 for k in range(75)]
"""In milliseconds: three seconds, never regular."""
MS = Fraction(1, 1000)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_source(
        tmp_path_factory.mktemp("source") / "clip.mp4",
        frames=75,
        pts=VFR,
        time_base=MS,
        audio="aac",
        options={"bf": "2"},
    )


@pytest.fixture(scope="module")
def output(source: Path) -> Path:
    return annotate(source, source.with_name("annotated.mp4"))


def check(output: Path, source: Path, **window: float) -> Checked:
    return check_video(
        output,
        source,
        start_s=window.get("start_s"),
        end_s=window.get("end_s"),
        every=int(window.get("every", 1)),
    )


def sentences(checked: Checked) -> list[str]:
    return [fault.sentence for fault in checked.faults]


def kinds(checked: Checked) -> set[str]:
    return {fault.kind for fault in checked.faults}


def test_an_annotated_clip_is_proven(output: Path, source: Path) -> None:
    checked = check(output, source)
    assert sentences(checked) == []
    assert (checked.expected_frames, checked.found_frames, checked.pictures_compared) == (75, 75, 75)
    assert checked.largest_drift_s == 0
    assert checked.audio == ["aac, 142 of 142 packets"]


def test_remaking_alone_is_no_fault(output: Path, source: Path, tmp_path: Path) -> None:
    assert sentences(check(remake(output, tmp_path / "a.mp4"), source)) == []


def swapped(pictures: Pictures) -> Pictures:
    (left, left_s), (right, right_s) = pictures[30], pictures[33]
    pictures[30], pictures[33] = (right, left_s), (left, right_s)
    return pictures


def repeated(first: int, n: int) -> Callable[[Pictures], Pictures]:
    def edit(pictures: Pictures) -> Pictures:
        return [
            (pictures[first - 1][0] if first <= place < first + n else picture, time_s)
            for place, (picture, time_s) in enumerate(pictures)
        ]

    return edit


def replaced(make: Callable[[av.VideoFrame], np.ndarray], places: range) -> Callable[[Pictures], Pictures]:
    def edit(pictures: Pictures) -> Pictures:
        return [
            (
                av.VideoFrame.from_ndarray(np.ascontiguousarray(make(picture)), "rgb24")
                if place in places
                else picture,
                s,
            )
            for place, (picture, s) in enumerate(pictures)
        ]

    return edit


def closed_up(pictures: Pictures) -> Pictures:
    times = [time_s for _, time_s in pictures]
    return [(picture, time_s) for (picture, _), time_s in zip(pictures[:20] + pictures[21:], times, strict=False)]


def rgb(picture: av.VideoFrame) -> np.ndarray:
    return picture.to_ndarray(format="rgb24")


PICTURE_FAULTS: dict[str, tuple[Callable[[Pictures], Pictures], bool, str, list[str]]] = {
    "a frame lost": (
        lambda pictures: pictures[:40] + pictures[41:],
        True,
        "frames missing",
        ["1 frame missing, at 1.607 s"],
    ),
    "the first frames lost": (
        lambda pictures: pictures[3:],
        True,
        "frames missing",
        ["3 frames missing, from 0.000 s to 0.094 s"],
    ),
    "the last second lost": (
        lambda pictures: pictures[:50],
        True,
        "frames missing",
        ["25 frames missing, from 2.014 s to 2.974 s"],
    ),
    "frames lost in many places": (
        lambda pictures: [picture for place, picture in enumerate(pictures) if place % 10 != 5],
        True,
        "frames missing",
        ["7 frames missing, in 7 places, the first at 0.214, 0.600, 1.007 s"],
    ),
    "a frame too many": (
        lambda pictures: [*pictures[:40], (pictures[39][0], pictures[39][1] + Fraction(20, 1000)), *pictures[40:]],
        False,
        "frames added",
        ["1 frame too many, at 1.580 s"],
    ),
    "a frame repeated in another's place": (
        repeated(40, 1),
        False,
        "repeated",
        ["1 frame repeating the one before, at 1.607 s"],
    ),
    "a frozen second": (
        repeated(40, 25),
        False,
        "repeated",
        ["25 frames repeating the one before, from 1.607 s to 2.567 s"],
    ),
    "two frames swapped": (
        swapped,
        False,
        "pictures",
        [
            "1 frame showing the picture of another time (0.120 s after), at 1.200 s",
            "1 frame showing the picture of another time (0.120 s after), at 1.320 s",
        ],
    ),
    "all frames a little late": (
        lambda pictures: [(picture, time_s + Fraction(40, 1000)) for picture, time_s in pictures],
        False,
        "time",
        ["all 75 frames are 40.000 ms too late"],
    ),
    "one frame early": (
        lambda pictures: [
            (picture, time_s - Fraction(place == 40, 100)) for place, (picture, time_s) in enumerate(pictures)
        ],
        False,
        "time",
        ["the frame at 1.607 s is 10.000 ms too early"],
    ),
    "late from some frame on": (
        lambda pictures: [
            (picture, time_s + Fraction(place >= 40, 100)) for place, (picture, time_s) in enumerate(pictures)
        ],
        False,
        "time",
        ["35 frames from 1.607 s to 2.974 s (the end) are 10.000 ms too late"],
    ),
    "a constant rate": (
        lambda pictures: [(picture, Fraction(place, 25)) for place, (picture, _) in enumerate(pictures)],
        False,
        "time",
        ["the times drift: 50 of 75 frames are not at their time, the worst 14.000 ms too early (at 0.094 s "],
    ),
    "a slower clock": (
        lambda pictures: [(picture, time_s * Fraction(101, 90)) for picture, time_s in pictures],
        False,
        "time",
        ["the times drift: 74 of 75 frames are not at their time, the worst 363.489 ms too late (at 2.974 s "],
    ),
    "a frame lost and the others closed up": (
        closed_up,
        False,
        "pictures",
        ["1 frame missing, at 2.974 s", "frames showing the picture of another time (0.047 s after), "],
    ),
    "a black frame": (
        replaced(lambda picture: np.zeros_like(rgb(picture)), range(40, 41)),
        False,
        "pictures",
        ["1 frame not showing the source's picture, at 1.607 s"],
    ),
    "pictures of another clip": (
        replaced(lambda picture: test_picture(0, (160, 120)), range(75)),
        False,
        "pictures",
        ["75 frames not showing the source's picture, from 0.000 s to 2.974 s"],
    ),
    "half the size": (
        lambda pictures: [(picture.reformat(width=80, height=60), time_s) for picture, time_s in pictures],
        False,
        "size",
        ["its pictures are 80x60 and the source's 160x120 pixels"],
    ),
    "pictures on their side": (
        replaced(lambda picture: np.rot90(rgb(picture)), range(75)),
        False,
        "size",
        ["its pictures are 120x160 and the source's 160x120 pixels"],
    ),
}


@pytest.mark.parametrize("name", PICTURE_FAULTS)
def test_faults_of_frames_are_named(name: str, output: Path, source: Path, tmp_path: Path) -> None:
    edit, is_loss, kind, expected = PICTURE_FAULTS[name]
    checked = check(remake(output, tmp_path / "faulty.mp4", pictures=edit), source)
    assert kind in kinds(checked), sentences(checked)
    assert checked.is_loss_only == is_loss
    told = sentences(checked)
    assert len(told) == len(expected), told
    assert all(part in sentence for sentence, part in zip(told, expected, strict=True)), told


SOUND_FAULTS = {
    "no sound": (lambda packets: [], True, "the sound (aac) is missing altogether"),
    "sound cut off": (lambda packets: packets[:100], True, "the sound ends at 2.112 s and should at 3."),
    "sound begins late": (lambda packets: packets[20:], True, "the sound begins at 0.4"),
    "a hole in the sound": (
        lambda packets: packets[:50] + packets[60:],
        True,
        "10 packets of the sound missing, the first",
    ),
    "sound late": (
        lambda packets: moved(packets, 0.1),
        False,
        "all packets of the sound are too late, by up to 99.",
    ),
    "sound drifts off": (
        lambda packets: moved(packets, 0.05, first=100),
        False,
        "42 of 142 packets of the sound are too late, by up to 50.0 ms",
    ),
}


@pytest.mark.parametrize("name", SOUND_FAULTS)
def test_faults_of_the_sound_are_named(name: str, output: Path, source: Path, tmp_path: Path) -> None:
    edit, is_loss, expected = SOUND_FAULTS[name]
    checked = check(remake(output, tmp_path / "faulty.mp4", sound=edit), source)  # type: ignore[arg-type]
    (sentence,) = sentences(checked)
    assert sentence.startswith(expected)
    assert checked.is_loss_only == is_loss


def test_other_sound_is_named(output: Path, source: Path, tmp_path: Path) -> None:
    silent = make_source(tmp_path / "silent.mp4", frames=75, pts=VFR, time_base=MS)
    (sentence,) = sentences(check(output, silent))
    assert sentence == "there is 1 track of sound that the source doesn't have"
    other = make_source(tmp_path / "other.mp4", frames=75, pts=VFR, time_base=MS, audio="libmp3lame")
    assert kinds(check(output, other)) == {"audio missing", "audio added"}


def test_a_file_that_was_cut_off_is_named(output: Path, source: Path, tmp_path: Path) -> None:
    checked = check(truncate(output, tmp_path / "cut.mp4", 0.6), source)
    assert {"frames missing", "cut off"} <= kinds(checked)
    assert any("it was cut off" in sentence for sentence in sentences(checked))
    with pytest.raises(SourceError):
        check(truncate(remake(output, tmp_path / "late_index.mp4"), tmp_path / "no_index.mp4", 0.6), source)


def test_damaged_packets_are_named(output: Path, source: Path, tmp_path: Path) -> None:
    damage_packets(output, tmp_path / "damaged.mp4", 3, 200)
    checked = check(tmp_path / "damaged.mp4", source)
    assert "damage" in kinds(checked)
    assert not checked.is_loss_only


def test_an_unfinished_file_is_named(output: Path, source: Path, tmp_path: Path) -> None:
    with av.open(str(output)) as container, av.open(str(tmp_path / "a.mp4"), "w") as written:
        written.metadata["comment"] = UNFINISHED_COMMENT
        streams = [written.add_stream_from_template(stream) for stream in container.streams]
        for packet in container.demux():
            if packet.size:
                packet.stream = streams[packet.stream_index]
                written.mux(packet)
    assert any("unfinished output" in sentence for sentence in sentences(check(tmp_path / "a.mp4", source)))


def test_a_wrong_length_is_named(output: Path, source: Path, tmp_path: Path) -> None:
    checked = check(remake(output, tmp_path / "a.mp4", last_frame_s=Fraction(5)), source)
    (sentence,) = sentences(checked)
    assert sentence.startswith("it declares a length of 7.974 s, and its frames end at 3.0")


def test_wrong_colour_tags_are_named(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "clip.mp4", frames=10, audio="aac", colors=(1, 1, 1, 1))
    output = annotate(source, tmp_path / "good.mp4")
    assert sentences(check(output, source)) == []
    (sentence,) = sentences(check(remake(output, tmp_path / "bad.mp4", color_range=1), source))
    assert sentence.startswith("its colours are tagged differently: ")


def test_a_window_and_every_third_frame(source: Path, tmp_path: Path) -> None:
    window = {"start_s": 0.5, "end_s": 2.0, "every": 3}
    output = annotate(source, tmp_path / "part.mp4", **window)
    assert sentences(check(output, source, **window)) == []
    assert "frames missing" in kinds(check(output, source))
    assert "frames missing" in kinds(check(output, source, start_s=0.5, end_s=2.0))


def test_a_damaged_source_is_no_fault_of_the_output(tmp_path: Path) -> None:
    whole = make_clip(tmp_path / "whole.mp4", frames=120, options={"g": "24", "bf": "0"})
    damage_packets(whole, tmp_path / "damaged.mp4", 5, 200)
    checked = check(annotate(tmp_path / "damaged.mp4", tmp_path / "out.mp4"), tmp_path / "damaged.mp4")
    assert sentences(checked) == []
    assert any("the source itself is damaged" in note for note in checked.notes)


def test_a_still_scene_is_not_accused(tmp_path: Path) -> None:
    still = tmp_path / "still.mp4"
    with av.open(str(still), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"  # type: ignore[union-attr]
        for _ in range(30):
            picture = np.full((120, 160, 3), 90, np.uint8)
            picture[30:60, 40:90] = 200
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))  # type: ignore[union-attr]
        container.mux(stream.encode(None))  # type: ignore[union-attr]
    assert sentences(check(annotate(still, tmp_path / "out.mp4"), still)) == []
