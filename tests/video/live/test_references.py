"""Lost H.264 references are noticed by the numbers in the slice headers; checked by leaving packets out."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import av
import pytest

from streamdet.video.live.references import References
from tests.media import make_clip


def packets_of(path: Path) -> tuple[bytes, list[bytes], list[bool], list[bool]]:
    """Extradata, and of each packet its bytes, whether it is a key frame, and whether nothing is built on it."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        packets = [packet for packet in container.demux(stream) if packet.size]
        return (
            stream.codec_context.extradata or b"",
            [bytes(packet) for packet in packets],
            [packet.is_keyframe for packet in packets],
            [nothing_built_on(bytes(packet), path.suffix == ".mp4") for packet in packets],
        )


def nothing_built_on(data: bytes, lengths: bool) -> bool:
    """From the packet's last NAL unit, a slice: nal_ref_idc is 0."""
    if not lengths:
        return data[data.rindex(b"\0\0\1") + 3] >> 5 & 3 == 0
    at = 0
    while at + 4 + int.from_bytes(data[at : at + 4]) < len(data):
        at += 4 + int.from_bytes(data[at : at + 4])
    return data[at + 4] >> 5 & 3 == 0


def holes(extradata: bytes, packets: Sequence[bytes]) -> list[int]:
    references = References(extradata)
    return [number for number, packet in enumerate(packets) if references.missing(packet)]


@pytest.mark.parametrize("suffix", [".mp4", ".ts"])
@pytest.mark.parametrize(
    "params", ["bframes=0:keyint=12", "bframes=3:b-pyramid=none:keyint=25", "bframes=3:b-pyramid=normal:keyint=250"]
)
def test_each_lost_reference_is_noticed_and_no_other(tmp_path: Path, suffix: str, params: str) -> None:
    clip = make_clip(tmp_path / f"clip{suffix}", frames=60, options={"x264-params": f"{params}:scenecut=0:threads=1"})
    extradata, packets, keys, disposable = packets_of(clip)
    assert holes(extradata, packets) == []
    assert any(disposable) == ("bframes=3" in params)
    for lost in range(1, len(packets) - 1):
        rest = packets[:lost] + packets[lost + 1 :]
        if disposable[lost] or (keys[lost + 1] and not keys[lost]):
            assert holes(extradata, rest) == []
        else:
            assert holes(extradata, rest) == [lost], lost


def test_what_is_no_h264_is_no_hole() -> None:
    assert holes(b"", [b"", b"\0\0\1", b"noise" * 20, bytes(100)]) == []


@pytest.mark.parametrize("extradata", [b"", b"\1\x64\0\x1f\xff\xe1\0\x10"])
def test_noise_is_read_to_its_end(extradata: bytes) -> None:
    dice = random.Random(1)
    starts = [b"\0\0\1\x67", b"\0\0\1\x65", b"\0\0\1\x41", b"\0\0\0\x20\x67"]
    noise = [dice.choice(starts) + dice.randbytes(dice.randrange(60)) for _ in range(3000)]
    assert len(holes(extradata + (dice.randbytes(30) if extradata else b""), noise)) <= len(noise)
