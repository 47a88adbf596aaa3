"""The annotated stream of one camera, pushed to a server as it is made."""

from __future__ import annotations

import threading
import time
from collections import deque
from fractions import Fraction
from typing import NamedTuple

import av

from streamdet.errors import UsageError
from streamdet.types import DetectedFrame
from streamdet.video.encoding import check_encoder
from streamdet.video.fitting import Fitter
from streamdet.video.live.backoff import Backoff
from streamdet.video.live.drawing import Painter
from streamdet.video.live.push_process import TIME_BASE, PushRequest
from streamdet.video.live.pusher import PushProcess
from streamdet.video.live.status import NOT_CONNECTED, NOT_CONNECTED_YET, SourceStatus
from streamdet.video.live.timeline import Timeline
from streamdet.video.location import Location
from streamdet.video.redaction import redact

OPEN_TIMEOUT_S = 10.0
SEND_TIMEOUT_S = 5.0
KEY_FRAME_S = Fraction(2)
QUEUE_PICTURES = 8
"""Most pictures that wait for the receiver; the oldest is dropped when there are more."""
FIRST_WAIT_S, LONGEST_WAIT_S, SETTLED_S = 0.5, 30.0, 10.0
_MOST_NOTES = 20

_FORMATS = {
    "rtsp": "rtsp",
    "rtsps": "rtsp",
    "rtmp": "flv",
    "rtmps": "flv",
    "udp": "mpegts",
    "tcp": "mpegts",
    "srt": "mpegts",
}
"""FFmpeg's muxer by the address's scheme."""
_OPTIONS = {
    "rtsp": {"rtsp_transport": "tcp"},
    "flv": {"flvflags": "no_duration_filesize", "flush_packets": "1"},
    "mpegts": {"flush_packets": "1", "mpegts_flags": "resend_headers"},
}
_PACKET = "pkt_size=1316"
"""Seven packets of MPEG-TS fit into one of Ethernet."""


class _Picture(NamedTuple):
    picture: av.VideoFrame
    moment_s: Fraction
    is_frame: bool
    """False for the picture of a camera that is gone."""


class PushedStream:
    """A live sink: H.264 to `rtsp://`, `rtmp://`, `udp://`, `tcp://` or `srt://`, at the camera's own times.

    It has a thread of its own, which connects, and connects again when the receiver goes away; the camera never waits
    for it. Pictures of another size than the first are scaled into it, as receivers take no change.

    Attributes:
        notes: what a user should know, a sentence each; never a password.
        frames: pictures handed to the receiver.
        left_out: frames not pushed as there was no connection.
        refusal: why the last of them was not.
        lost: frames not pushed as the receiver was slower than the camera, or went away.
        connections: how often the receiver has agreed.
    """

    def __init__(
        self,
        location: Location,
        painter: Painter,
        *,
        open_timeout_s: float = OPEN_TIMEOUT_S,
        send_timeout_s: float = SEND_TIMEOUT_S,
    ) -> None:
        """Check the address; nothing is opened before the first frame.

        Raises:
            UsageError: nothing can be pushed to such an address.
            OutputError: there is no H.264 encoder.
        """
        check_push_target(location)
        check_encoder()
        self.notes: list[str] = []
        self.frames = self.left_out = self.lost = self.connections = 0
        self._location = location
        self._painter = painter
        self._open_timeout_s, self._send_timeout_s = open_timeout_s, send_timeout_s
        self._timeline = Timeline()
        self._fit: Fitter | None = None
        self._is_open = False
        self._is_over = False
        self._problem = ""
        self._queue: deque[_Picture] = deque()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self.refusal = NOT_CONNECTED_YET

    @property
    def problem(self) -> str:
        """Why nothing can be pushed at the moment; empty when all is well. Any thread."""
        return self._problem

    @property
    def is_open(self) -> bool:
        """Whether there is a connection. Any thread."""
        return self._is_open

    def write(self, detected: DetectedFrame) -> bool:
        """Push one frame; False while there is no connection."""
        moment_s = self._timeline.stamp(detected.frame)
        if self._thread is None:
            self._start(detected)
        if not self._is_open:
            self._painter.saw(detected.frame)
            self.left_out += 1
            self.refusal = NOT_CONNECTED if self.connections else NOT_CONNECTED_YET
            return False
        self._put(_Picture(self._painter.draw(detected), moment_s, is_frame=True))
        return True

    def gone(self, status: SourceStatus, now_s: float) -> None:
        """Push the last picture with NO SIGNAL on it; nothing before the first frame."""
        if not self._is_open:
            return
        picture = self._painter.draw_gone(status, now_s)
        if picture is not None:
            self._put(_Picture(picture, self._timeline.at(now_s), is_frame=False))

    def finish(self, *, complete: bool) -> None:
        """Say goodbye to the receiver."""
        with self._changed:
            self._is_over = True
            self._changed.notify_all()
        if self._thread is None:
            return
        self._thread.join()
        self._thread = None
        self._lose_queue()
        name = self._location.name
        if self.lost:
            self.notes.append(
                f"{self.lost} frames were not pushed to {name}: it was slower than the camera, or went away"
            )
        if self.left_out:
            self.notes.append(f"{self.left_out} frames were not pushed to {name}: it was not connected")

    def close(self) -> None:
        """The same: there is nothing to leave unfinished."""
        self.finish(complete=False)

    def _put(self, picture: _Picture) -> None:
        with self._changed:
            self._queue.append(picture)
            if len(self._queue) > QUEUE_PICTURES:
                self.lost += self._queue.popleft().is_frame
            self._changed.notify_all()

    def _lose_queue(self) -> None:
        with self._changed:
            self.lost += sum(picture.is_frame for picture in self._queue)
            self._queue.clear()

    def _start(self, detected: DetectedFrame) -> None:
        picture = detected.frame.picture
        self._fit = Fitter(picture.width, picture.height)
        request = push_request(self._location, picture)
        self._thread = threading.Thread(
            target=self._work, args=(request, self._fit), name=f"streamdet-push {self._location.name}"
        )
        self._thread.start()

    def _work(self, request: PushRequest, fit: Fitter) -> None:
        backoff = Backoff(FIRST_WAIT_S, LONGEST_WAIT_S, SETTLED_S)
        while not self._is_over:
            try:
                self._connection(request, fit, backoff)
            except Exception as error:  # whatever it is, the camera goes on and the receiver is tried again
                self._fail(error)
                with self._changed:
                    self._changed.wait_for(lambda: self._is_over, backoff.failed())

    def _connection(self, request: PushRequest, fit: Fitter, backoff: Backoff) -> None:
        """Connect and push to the end of the run. Raises OutputError or OSError when the receiver is gone."""
        process = PushProcess(request, open_timeout_s=self._open_timeout_s, is_over=lambda: self._is_over)
        try:
            self.connections += 1
            if self._problem:
                self._note(f"pushing to {self._location.name} went on")
            self._problem = ""
            self._is_open = True
            key_s: Fraction | None = None
            while (taken := self._take()) is not None:
                is_key = key_s is None or taken.moment_s - key_s >= KEY_FRAME_S
                if is_key:
                    key_s = taken.moment_s
                pts = round(taken.moment_s / TIME_BASE)
                try:
                    process.send(fit(taken.picture), pts, is_key=is_key, timeout_s=self._send_timeout_s)
                except BaseException:
                    with self._changed:
                        self.lost += taken.is_frame
                    raise
                self.frames += 1
                backoff.good(time.monotonic())
            process.end()
        finally:
            self._is_open = False
            process.kill()
            self._lose_queue()

    def _take(self) -> _Picture | None:
        """The next picture; None when the run is over and all were taken."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._is_over)
            return self._queue.popleft() if self._queue else None

    def _fail(self, error: Exception) -> None:
        if self._is_over:
            return
        words = redact(str(error), self._location.secrets())
        problem = f"cannot push to {self._location.name}: {words}; it is tried again"
        if problem != self._problem:
            self._note(problem)
        self._problem = problem

    def _note(self, note: str) -> None:
        if len(self.notes) < _MOST_NOTES:
            self.notes.append(note)


def check_push_target(location: Location) -> None:
    """Raise UsageError unless annotated video can be pushed there."""
    if location.scheme not in _FORMATS:
        raise UsageError(
            f"{location.name}: video can't be pushed there; give {', '.join(f'{name}://' for name in _FORMATS)} "
            "or the name of a file or folder"
        )


def push_request(location: Location, picture: av.VideoFrame) -> PushRequest:
    """How to push pictures like this one to an address."""
    muxer = _FORMATS[location.scheme]
    url = location.target()
    if location.scheme == "udp" and "pkt_size=" not in url:
        url += ("&" if "?" in url else "?") + _PACKET
    return PushRequest(
        url=url,
        format=muxer,
        options=_OPTIONS[muxer],
        width=picture.width + picture.width % 2,
        height=picture.height + picture.height % 2,
        colour=(
            int(picture.color_range),
            int(picture.colorspace),
            int(picture.color_primaries),
            int(picture.color_trc),
        ),
    )
