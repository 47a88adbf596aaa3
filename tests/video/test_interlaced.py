"""Interlaced video: one frame for every picture, whether its fields are coded as one or one after the other."""

from __future__ import annotations

import random
from fractions import Fraction
from pathlib import Path

import av
import pytest

from streamdet.video.fields import FieldPairs
from tests.media import make_clip
from tests.video.field_coded import luma, make_field_coded
from tests.video.reading import assert_accounts, read


@pytest.mark.parametrize("name", ["interlaced.ts", "interlaced_mpeg2.ts"])
def test_the_clips_are_interlaced(clips: dict[str, Path], name: str) -> None:
    frames, _ = read(clips[name])
    assert all(frame.picture.interlaced_frame for frame in frames)


@pytest.mark.parametrize("ending", ["ts", "mkv", "mp4"])
@pytest.mark.parametrize("packet_per_field", [True, False])
def test_two_fields_are_one_frame(tmp_path: Path, ending: str, packet_per_field: bool) -> None:
    clip = make_field_coded(tmp_path / f"clip.{ending}", frames=30, packet_per_field=packet_per_field)
    frames, source = read(clip)
    assert_accounts(source.counts)
    # FFmpeg's reader of MPEG-TS splits packets by field
    second_fields = 30 if packet_per_field or ending == "ts" else 0
    assert (source.counts.packets, source.counts.hidden) == (30 + second_fields, second_fields)
    assert [frame.pts * frame.time_base for frame in frames] == [Fraction(index, 25) for index in range(30)]
    assert [int(frame.picture.to_ndarray()[0, 0]) for frame in frames] == [luma(index) for index in range(30)]
    assert source.ended_early() is None


@pytest.mark.parametrize(("damaged", "lost"), [((14,), 1), ((15,), 1), ((14, 15), 1), ((14, 17), 2), ((3, 10, 11), 2)])
def test_lost_fields_are_counted_as_pictures(tmp_path: Path, damaged: tuple[int, ...], lost: int) -> None:
    clip = make_field_coded(tmp_path / "clip.mkv", frames=30, packet_per_field=True)
    content = bytearray(clip.read_bytes())
    with av.open(str(clip)) as container:
        positions = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    for number in damaged:
        position, size = positions[number]
        content[position + 4 : position + size] = bytes(size - 4)
    clip.write_bytes(content)
    frames, source = read(clip)
    assert_accounts(source.counts)
    assert (len(frames), source.counts.lost) == (30 - lost, lost)


def test_streams_of_whole_frames_are_told_from_their_header(clips: dict[str, Path], tmp_path: Path) -> None:
    def possible(path: Path) -> bool:
        with av.open(str(path)) as container:
            return FieldPairs(container.streams.video[0].codec_context.extradata).possible

    matrices = make_clip(tmp_path / "matrices.mp4", frames=1, options={"x264-params": "cqm=jvt:interlaced=1"})
    assert [possible(clips[name]) for name in ("cfr.mp4", "transport.ts", "interlaced.ts")] == [False, False, True]
    assert possible(matrices)
    assert not FieldPairs(None).possible


@pytest.mark.parametrize("seed", range(20))
def test_noise_is_read_without_an_error(seed: int) -> None:
    dice = random.Random(seed)
    noise = [dice.randbytes(dice.randrange(200)) for _ in range(30)]
    for head in (b"\0\0\1\x67", b"\1\x4d\0\x1e\xff\xe1\0\7\x67"):
        pairs = FieldPairs(head + noise[0])
        for content in noise:
            assert pairs.completes(b"\0\0\1\x65" + content) in (True, False)
