from __future__ import annotations

import av
import numpy as np
import pytest

from streamdet.options import LiveOptions
from streamdet.video.live.stalls import (
    FROZEN_PICTURE,
    MOST_PATIENCE,
    NO_PACKETS,
    ONLY_DAMAGED,
    TIMES_STAND_STILL,
    Fingerprint,
    Stall,
    StallWatch,
    fingerprint,
)

PIXELS = 1920 * 1080
SCENE, OTHER, DARK = Fingerprint(1, False), Fingerprint(2, False), Fingerprint(3, True)


class Camera:
    """Plays a camera at 10 pictures per second, with a clock of its own."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.watch = StallWatch(LiveOptions())
        self.watch.connected(self.now_s)
        self.number = 0

    def play(
        self,
        seconds: float,
        picture: Fingerprint | None = None,
        *,
        damaged: bool = False,
        gop: int = 20,
        size: int = 5000,
        times: int | None = None,
        none: bool = False,
    ) -> list[Stall]:
        """What was reported, at each change; `picture`: the one and only, else all differ."""
        found: list[Stall] = []
        for _ in range(round(seconds * 10)):
            self.now_s += 0.1
            self.number += 1
            is_key = gop > 0 and self.number % gop == 0
            pts = self.number if times is None else times
            self.watch.packet(self.now_s, pts, 40_000 if is_key else size, is_key, PIXELS)
            if not none:
                self.watch.picture(self.now_s, picture or Fingerprint(10_000 + self.number, False), damaged)
            stall = self.watch.look(self.now_s)
            if stall and (not found or stall.is_new or stall.reconnect):
                found.append(stall)
                if stall.reconnect:
                    break
        return found

    def silence(self, seconds: float) -> Stall | None:
        self.now_s += seconds
        return self.watch.look(self.now_s)


def test_a_living_camera_is_no_stall() -> None:
    assert Camera().play(120) == []


def test_no_packets() -> None:
    camera = Camera()
    camera.play(5)
    assert camera.silence(9.8) is None
    stall = camera.silence(0.3)
    assert stall is not None
    assert (stall.kind, stall.reconnect, stall.is_new) == (NO_PACKETS, True, True)


def test_a_connection_that_never_gave_a_packet() -> None:
    camera = Camera()
    assert camera.silence(9.9) is None
    stall = camera.silence(0.2)
    assert stall is not None
    assert stall.kind == NO_PACKETS


def test_times_stand_still() -> None:
    camera = Camera()
    camera.play(5)
    (stall,) = camera.play(20, times=77)
    assert (stall.kind, stall.reconnect) == (TIMES_STAND_STILL, True)
    assert stall.lasted_s == pytest.approx(10, abs=0.2)


def test_a_stream_without_times_is_no_stall() -> None:
    camera = Camera()
    for _ in range(300):
        camera.now_s += 0.1
        camera.watch.packet(camera.now_s, None, 5000, False, PIXELS)
        camera.watch.picture(camera.now_s, Fingerprint(round(camera.now_s * 10), False), False)
        assert camera.watch.look(camera.now_s) is None


def test_a_frozen_picture_is_a_warning_and_then_a_reason_to_reconnect() -> None:
    camera = Camera()
    camera.play(5)
    warning, reason = camera.play(60, SCENE)
    assert (warning.kind, warning.reconnect, warning.is_new) == (FROZEN_PICTURE, False, True)
    assert warning.lasted_s == pytest.approx(15, abs=0.2)
    assert (reason.kind, reason.reconnect, reason.is_new) == (FROZEN_PICTURE, True, False)
    assert reason.lasted_s == pytest.approx(30, abs=0.2)


def test_a_still_night_without_a_key_frame_is_no_frozen_picture() -> None:
    camera = Camera()
    camera.play(5)
    assert camera.play(300, SCENE, gop=0, size=60) == []


def test_large_packets_that_change_nothing_are_a_frozen_picture() -> None:
    camera = Camera()
    camera.play(5)
    assert camera.play(60, SCENE, gop=0, size=5000)[-1].reconnect


def test_a_night_whose_key_frames_bring_new_noise() -> None:
    camera = Camera()
    for group in range(20):  # 12 s each
        assert camera.play(12, Fingerprint(group, False), gop=120, size=60) == []


def test_a_lens_cap_is_no_frozen_picture() -> None:
    camera = Camera()
    assert camera.play(300, DARK) == []


def test_a_slow_camera_is_not_frozen() -> None:
    camera = Camera()
    for _ in range(4):
        camera.now_s += 9.0
        camera.watch.packet(camera.now_s, round(camera.now_s), 40_000, True, PIXELS)
        camera.watch.picture(camera.now_s, SCENE, False)
        assert camera.watch.look(camera.now_s) is None


def test_reconnecting_in_vain_makes_patient_and_a_new_picture_forgets_it() -> None:
    camera = Camera()
    camera.play(1, SCENE)
    for factor in (1, 2, 4):
        *_, stall = camera.play(1000, SCENE)
        assert stall.lasted_s == pytest.approx(30 * factor, abs=1.2)
        camera.watch.reconnecting(stall.kind)
        camera.watch.connected(camera.now_s)
    camera.play(1, OTHER)
    *_, stall = camera.play(1000, OTHER)
    assert stall.lasted_s == pytest.approx(30, abs=1.2)


def test_patience_is_bounded() -> None:
    camera = Camera()
    for _ in range(100):
        camera.watch.reconnecting(FROZEN_PICTURE)
    camera.play(1, SCENE)
    for _ in range(100):
        camera.watch.reconnecting(FROZEN_PICTURE)
    *_, stall = camera.play(31 * MOST_PATIENCE, SCENE)
    assert stall.reconnect


def test_only_damaged_frames_are_endured_for_longer_than_none_at_all() -> None:
    seen, unseen = Camera(), Camera()
    seen.play(5)
    unseen.play(5)
    warning, reason = unseen.play(300, none=True)
    assert (warning.kind, warning.reconnect) == (ONLY_DAMAGED, False)
    assert reason.lasted_s == pytest.approx(30, abs=0.2)
    warning, reason = seen.play(300, damaged=True)
    assert (warning.kind, warning.reconnect) == (ONLY_DAMAGED, False)
    assert reason.lasted_s == pytest.approx(120, abs=0.2)


def test_a_whole_picture_now_and_then_is_enough() -> None:
    camera = Camera()
    for _ in range(20):
        assert camera.play(10, damaged=True) == []
        camera.play(0.1)


def picture(noise: int = 0, size: tuple[int, int] = (320, 180), grey: int | None = None) -> av.VideoFrame:
    width, height = size
    content = np.random.default_rng(noise).integers(0, 255, (height, width, 3), dtype=np.uint8)
    if grey is not None:
        content[:] = grey
    return av.VideoFrame.from_ndarray(content, format="rgb24").reformat(format="yuv420p")


@pytest.mark.parametrize("size", [(320, 180), (322, 182), (7, 5)])
def test_fingerprints_tell_pictures_apart(size: tuple[int, int]) -> None:
    assert fingerprint(picture(1, size)) == fingerprint(picture(1, size))
    assert fingerprint(picture(1, size)) != fingerprint(picture(2, size))
    assert not fingerprint(picture(1, (320, 180))).flat
    assert fingerprint(picture(1, size, grey=20)).flat


@pytest.mark.parametrize("pixel_format", ["yuvj420p", "nv12", "gray", "bgr24", "yuyv422", "yuv420p10le", "yuv444p"])
def test_fingerprints_of_other_pixel_formats(pixel_format: str) -> None:
    first, second = (picture(seed).reformat(format=pixel_format) for seed in (1, 2))
    assert fingerprint(first) == fingerprint(picture(1).reformat(format=pixel_format))
    assert fingerprint(first) != fingerprint(second)
