"""`streamdet run --resume`: what a stopped run over a file left behind, and how a new one goes on with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamdet.errors import UsageError
from streamdet.options import RunOptions
from streamdet.results.continuing import KeptLines, Replay, kept_lines
from streamdet.types import DetectedFrame
from streamdet.video.continuing import KeptVideo, kept_video

if TYPE_CHECKING:
    from streamdet.pipeline import Sink

ROUNDING_S = Fraction(1, 1000)
"""Of times in Matroska."""


@dataclass(frozen=True)
class Resumption:
    """What there is to go on with."""

    lines: KeptLines
    video: KeptVideo | None
    """None: it is written anew from the first frame."""

    def replay(self) -> Replay:
        """Detections of the frames that the stopped run has told of."""
        return Replay(self.lines)

    def after(self) -> tuple[int, int]:
        """For `JsonlWriter`."""
        return self.lines.frames, self.lines.bytes

    def note(self) -> str:
        """For the receipt."""
        frames = self.lines.frames
        return f"went on after {frames} frame{'' if frames == 1 else 's'} of a run that was stopped"


def resumption(options: RunOptions) -> Resumption | None:
    """What the run with these options left behind; None: nothing to go on with, all begins anew.

    Raises:
        UsageError: the video comes from another run than the JSON lines.
        DataError: the JSON lines are none.
    """
    if not options.resume or options.common.jsonl is None:
        return None
    lines = kept_lines(Path(options.common.jsonl))
    if lines is None or not lines.frames:
        return None
    video = None
    if options.video_path is not None:
        first = next(lines.lines())
        first_s = first.pts * first.time_base
        video = kept_video(options.video_path, first_s, at_most=lines.frames - 1)
        if video is not None:
            at = next(islice(lines.lines(), video.frames, None))
            if abs((at.pts * at.time_base - first_s) - (video.at_s - video.begins_s)) > ROUNDING_S:
                raise UsageError(
                    f"{options.video_path} and {options.common.jsonl} come from different runs; leave --resume out and "
                    "add --overwrite to begin anew"
                )
    return Resumption(lines, video)


def check_header(found: Resumption | None, header: Mapping[str, Any]) -> None:
    """Raises UsageError when the stopped run had other options."""
    if found is not None:
        found.lines.check_header(header)


class PassOver:
    """A sink that leaves the first frames out: they are in its output already."""

    def __init__(self, inner: Sink, frames: int, instead: Callable[[DetectedFrame], object] = lambda _: None) -> None:
        """`instead`: called with the frames that are left out."""
        self.inner = inner
        self._left = frames
        self._instead = instead

    def write(self, detected: DetectedFrame) -> None:
        """See `pipeline.Sink`."""
        if self._left:
            self._left -= 1
            self._instead(detected)
        else:
            self.inner.write(detected)

    def finish(self, *, complete: bool) -> None:
        """See `pipeline.Sink`."""
        self.inner.finish(complete=complete)

    def close(self) -> None:
        """See `pipeline.Sink`."""
        self.inner.close()
