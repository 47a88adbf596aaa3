"""How many cameras a machine carries, and what is advised, from costs that are given."""

from __future__ import annotations

from dataclasses import replace

import pytest

from streamdet.cli.capacity import DetectionCost, advice, capacity_of
from streamdet.video.probing import DecodingCost, Probe, StreamFacts
from streamdet.video.rhythm import PacketNote, Rhythm, rhythm_of

FACTS = StreamFacts("rtsp", "h264", "Main", 640, 360, "yuv420p", 0, False, 10.0, ())
RHYTHM = rhythm_of([PacketNote(n / 10, n / 10, 5000, n % 10 == 0, 100 + n / 10) for n in range(50)], at_own_pace=True)
DECODING = DecodingCost(pictures=50, damaged=0, lost=0, before_key_frame=0, wall_s=0.2, processor_s=0.25)
COST = DetectionCost("m", "cpu", "float32", 1, (640, 384), wall_s=0.02, processor_s=0.07)


def said(
    *,
    facts: StreamFacts = FACTS,
    rhythm: Rhythm = RHYTHM,
    decoding: DecodingCost = DECODING,
    cost: DetectionCost = COST,
    scheme: str = "rtsp",
    transport: str = "tcp",
) -> str:
    probe = Probe(facts, rhythm, decoding, [])
    capacity = capacity_of(rhythm.fps or 1, decoding.processor_s_per_picture or 0, cost, cores=4)
    return "\n".join(advice(probe, cost, capacity, scheme=scheme, transport=transport))


def test_on_a_processor_decoding_and_the_network_share_the_cores() -> None:
    capacity = capacity_of(10.0, 0.04, COST, cores=4)  # 10 % decoding, 20 % network
    assert (capacity.cameras, capacity.limit) == (2, "network")
    assert capacity.cameras_modest == 4  # 10 % and 10 %
    slow = capacity_of(10.0, 0.04, replace(COST, wall_s=0.14), cores=4)
    assert (slow.cameras, slow.fps_of_one) == (0, pytest.approx(5))


def test_on_a_gpu_the_scarcer_one_decides() -> None:
    gpu = replace(COST, device="cuda", wall_s=0.002, processor_s=0.001)
    assert capacity_of(10.0, 0.002, gpu, cores=4).cameras == 40  # 2 % of the GPU each
    assert capacity_of(10.0, 0.002, gpu, cores=4).limit == "network"
    heavy = capacity_of(10.0, 0.039, gpu, cores=4)  # 10 % of the cores each
    assert (heavy.cameras, heavy.limit) == (8, "decoding")


def test_a_good_camera_needs_no_change() -> None:
    assert said() == ""


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"decoding": replace(DECODING, lost=3), "transport": "udp"},
            "3 of 50 pictures were lost or damaged on the way: use --transport tcp",
        ),
        ({"decoding": replace(DECODING, lost=3)}, "3 of 50 pictures are lost or damaged: the network or the camera"),
        (
            {"facts": replace(FACTS, width=3840, height=2160)},
            "34 times the pixels of the model's input (640x384): the ",
        ),
        ({"cost": replace(COST, wall_s=0.5)}, "this machine detects 1.6 of its 10.0 frames/s"),
        (
            {"facts": replace(FACTS, codec="hevc"), "decoding": replace(DECODING, processor_s=8.0)},
            "decoding hevc is what limits here: let the camera send H.264",
        ),
        ({"rhythm": replace(RHYTHM, longest_without_key_s=10.0, key_interval_s=10.0)}, "key frames are 10.0 s apart"),
        ({"rhythm": replace(RHYTHM, longest_without_key_s=4.9, key_interval_s=None)}, "are more than 4 s apart"),
        ({"rhythm": replace(RHYTHM, is_reordered=True)}, "B-frames delay every picture"),
        ({"facts": replace(FACTS, declared_fps=25.0)}, "it declares 25.0 frames/s and gives 10.0: in the dark"),
        ({"rhythm": replace(RHYTHM, irregular_share=0.3)}, "30% of the gaps between pictures are uneven"),
        ({"rhythm": replace(RHYTHM, without_time=4)}, "4 pictures have no time of their own"),
        ({"rhythm": replace(RHYTHM, jitter_p95_s=0.4)}, "packets come up to 400 ms late"),
        ({"facts": replace(FACTS, is_interlaced=True)}, "the pictures are interlaced"),
        ({"facts": replace(FACTS, codec="mjpeg"), "rhythm": replace(RHYTHM, bits_per_s=4e7)}, "MJPEG takes 40 Mbit/s"),
    ],
)
def test_each_fault_has_its_advice(changes: dict[str, object], sentence: str) -> None:
    assert sentence in said(**changes)  # type: ignore[arg-type]


def test_a_file_gets_no_advice_about_cameras() -> None:
    told = said(
        facts=replace(FACTS, width=3840, height=2160),
        rhythm=replace(RHYTHM, is_reordered=True, longest_without_key_s=10.0),
        scheme="file",
    )
    assert told == ""
