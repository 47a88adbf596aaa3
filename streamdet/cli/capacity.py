"""How many cameras like the one that was probed this machine can carry, and what would help."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from streamdet.video.probing import Probe

USABLE = 0.8
"""Share of the machine that is counted on: the rest is for drawing, writing and rough moments."""
MODEST_FPS = 5.0
"""Detections per second of each camera that are enough for most purposes."""
MUCH_LARGER = 2.5
"""A picture with more than so many times the pixels of the model's input is worth a smaller stream."""
LONG_KEY_INTERVAL_S = 4.0
UNEVEN_SHARE = 0.05
OTHER_RATE = 0.1
"""A declared rate that is wrong by more than this share is told."""
HIGH_JITTER_S = 0.2
BUSY_SHARE = 0.3
"""Of the cores; more processes than that make measured speeds doubtful."""

Limit = Literal["decoding", "network"]


@dataclass(frozen=True, slots=True)
class DetectionCost:
    """What the detector takes for one picture on this machine."""

    model: str
    device: str
    precision: str
    batch: int
    input_size_wh: tuple[int, int]
    wall_s: float
    """Per picture: resize, network, postprocess."""
    processor_s: float
    """Per picture, of all cores together."""

    @property
    def fps(self) -> float:
        """Pictures per second."""
        return 1 / self.wall_s


@dataclass(frozen=True, slots=True)
class Capacity:
    """How many such cameras go at once."""

    cores: int
    cameras: int
    """With every picture detected."""
    cameras_modest: int
    """With `MODEST_FPS` detections per second of each, and every picture decoded."""
    limit: Limit
    """The stage that takes most of the machine when every picture is detected."""
    fps_of_one: float
    """Detections per second that a single camera would get."""


def capacity_of(fps: float, decode_s: float, cost: DetectionCost, cores: int) -> Capacity:
    """From `fps` pictures per second of each camera and `decode_s` seconds of one core to decode a picture."""

    def shares(detected_per_s: float) -> tuple[float, float]:
        """Of the machine, by decoding, and by the network: on a processor they share its cores."""
        decoding, network = fps * decode_s / cores, detected_per_s * cost.wall_s
        if cost.device == "cpu":
            return decoding, network
        return decoding + detected_per_s * cost.processor_s / cores, network

    def fit(detected_per_s: float) -> int:
        decoding, network = shares(detected_per_s)
        taken = decoding + network if cost.device == "cpu" else max(decoding, network)
        return int(USABLE / taken)

    decoding, network = shares(fps)
    free = max(USABLE - (decoding if cost.device == "cpu" else 0.0), 0.0)
    return Capacity(
        cores=cores,
        cameras=fit(fps),
        cameras_modest=fit(min(MODEST_FPS, fps)),
        limit="decoding" if decoding > network else "network",
        fps_of_one=min(fps, free / cost.wall_s),
    )


def advice(probe: Probe, cost: DetectionCost, capacity: Capacity, *, scheme: str, transport: str) -> list[str]:
    """What to change, the most useful first; a sentence each. `scheme`: of a live source, "file" of a file."""
    facts, rhythm, decoding = probe.facts, probe.rhythm, probe.decoding
    is_live = scheme != "file"
    said = []
    flawed = decoding.lost + decoding.damaged
    if flawed and is_live and scheme.startswith("rtsp") and transport == "udp":
        said.append(f"{flawed} of {rhythm.packets} pictures were lost or damaged on the way: use --transport tcp")
    elif flawed:
        where = "the network or the camera loses data" if is_live else "the file is damaged"
        said.append(f"{flawed} of {rhythm.packets} pictures are lost or damaged: {where}")
    said += _about_size(probe, cost, is_live)
    if capacity.cameras == 0:
        said.append(
            f"this machine detects {capacity.fps_of_one:.1f} of its {rhythm.fps or 0:.1f} frames/s, always the newest: "
            "for more lower the camera's rate, or use a smaller --size, a smaller model or a GPU"
        )
    if is_live and capacity.limit == "decoding" and facts.codec not in ("h264", "mjpeg"):
        said.append(f"decoding {facts.codec} is what limits here: let the camera send H.264, which costs less")
    if is_live and facts.codec == "mjpeg" and (rhythm.bits_per_s or 0) > 10e6:
        said.append(f"MJPEG takes {(rhythm.bits_per_s or 0) / 1e6:.0f} Mbit/s: H.264 needs a tenth of it")
    if is_live and rhythm.longest_without_key_s > LONG_KEY_INTERVAL_S:
        seen = "" if rhythm.key_interval_s is None else f" {rhythm.key_interval_s:.1f} s"
        said.append(
            f"key frames are{seen or ' more than 4 s'} apart, and after an outage the picture comes back only with the "
            "next: set 1 to 2 s in the camera"
        )
    if is_live and rhythm.is_reordered:
        said.append("B-frames delay every picture: switch them off in the camera (H.264 profile without B-frames)")
    return said + _about_times(probe, is_live)


def is_busy(load: float, cores: int) -> bool:
    """True when other programs take so much of the machine that it was measured as weaker than it is."""
    return load > BUSY_SHARE * cores


def _about_size(probe: Probe, cost: DetectionCost, is_live: bool) -> list[str]:
    facts = probe.facts
    pixels, used = facts.width * facts.height, cost.input_size_wh[0] * cost.input_size_wh[1]
    if not is_live or pixels <= MUCH_LARGER * used:
        return []
    size = "x".join(map(str, cost.input_size_wh))
    return [
        f"the picture has {pixels / used:.0f} times the pixels of the model's input ({size}): the camera's smaller "
        "stream (substream) saves decoding and loses nothing, unless you look for small objects with a larger --size"
    ]


def _about_times(probe: Probe, is_live: bool) -> list[str]:
    facts, rhythm = probe.facts, probe.rhythm
    said = []
    declared, real = facts.declared_fps, rhythm.fps
    if declared and real and abs(real - declared) > OTHER_RATE * declared:
        why = ": in the dark many cameras slow down" if is_live and real < declared else ""
        said.append(f"it declares {declared:.1f} frames/s and gives {real:.1f}{why}; streamdet goes by the real times")
    if rhythm.irregular_share > UNEVEN_SHARE:
        said.append(f"{rhythm.irregular_share:.0%} of the gaps between pictures are uneven; their true times are kept")
    count = rhythm.without_time + rhythm.repeated_times
    if count > 1:  # the first packet of RTSP never has one
        said.append(f"{count} pictures have no time of their own: streamdet makes up the smallest step")
    if rhythm.jitter_p95_s is not None and rhythm.jitter_p95_s > HIGH_JITTER_S:
        said.append(
            f"packets come up to {rhythm.jitter_p95_s * 1000:.0f} ms late: look at the network, Wi-Fi above all, or "
            "raise --max-age"
        )
    if facts.is_interlaced:
        said.append("the pictures are interlaced: moving edges are combed; let the camera send progressive ones")
    return said
