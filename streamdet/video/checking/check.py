"""Compares an output with its source, frame by frame."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av.error

from streamdet.video.base import Source
from streamdet.video.checking.audio import check_audio
from streamdet.video.checking.facts import (
    colour_faults,
    damage_faults,
    duration_faults,
    has_shape,
    size_faults,
)
from streamdet.video.checking.faults import Fault, counted
from streamdet.video.checking.pairs import Pair, choose_pairing, pairs_of
from streamdet.video.checking.pictures import (
    Glance,
    Grey,
    glancer,
    is_repeated,
    shown_instead,
    shows_another_picture,
    with_neighbours,
)
from streamdet.video.checking.times import TimeCheck, told_runs
from streamdet.video.container import open_container, video_stream
from streamdet.video.sources import open_source
from streamdet.video.writer import start_shift

Tick = Callable[[int], None]
"""Told how many frames are through."""


@dataclass
class Checked:
    """What was found."""

    expected_frames: int = 0
    """Frames of the source, in the part that was asked for, that can be decoded."""
    found_frames: int = 0
    largest_drift_s: float = 0.0
    shift_s: int = 0
    """Whole seconds by which the output is meant to be later than its source."""
    expected_end_s: float = 0.0
    """When the last frame of the source begins, in its own time."""
    found_end_s: float = 0.0
    """The same of the output, without the shift."""
    audio: list[str] = field(default_factory=list)
    """A line for each stream of sound."""
    pictures_compared: int = 0
    notes: list[str] = field(default_factory=list)
    """What is known about the source and should be."""
    faults: list[Fault] = field(default_factory=list)

    @property
    def is_loss_only(self) -> bool:
        """What is there is right, but something is missing."""
        return all(fault.is_loss for fault in self.faults)


@dataclass(frozen=True, slots=True)
class _Expected:
    """A frame of the source with those around it."""

    glance: Glance
    around: Sequence[Glance]
    place: int

    @property
    def exact_s(self) -> Fraction:
        return self.glance.exact_s


def check_video(
    output: Path, source: Path, *, start_s: float | None, end_s: float | None, every: int, tick: Tick = lambda _: None
) -> Checked:
    """Check a video against the part of its source that it should show. Raises SourceError or UsageError."""
    with (
        open_source(source, start_s=start_s, end_s=end_s, every=every) as ours,
        open_source(output) as theirs,
    ):
        size = ours.info.width, ours.info.height
        checked = check_frames(
            ours,
            map(glancer(*size), theirs),
            times_of(output),
            allowed_s=theirs.info.time_base / 2,
            is_shifted=True,
            pictures=has_shape(theirs.info, ours.info),
            tick=tick,
        )
        checked.faults += [*size_faults(ours.info, theirs.info), *colour_faults(ours.info, theirs.info)]
        checked.faults += damage_faults(theirs)
        checked.faults += duration_faults(theirs, checked.found_end_s + checked.shift_s)
        checked.audio, audio_faults = check_audio(ours.info, output, Fraction(checked.shift_s))
        checked.faults += audio_faults
    return checked


def check_frames(
    source: Source,
    found: Iterator[Glance],
    found_times_s: Sequence[Fraction],
    *,
    allowed_s: Fraction,
    is_shifted: bool,
    pictures: bool,
    tick: Tick = lambda _: None,
) -> Checked:
    """Check frames against those of `source`.

    Args:
        source: read to its end.
        found: the frames of the output.
        found_times_s: their times, as far as they are known before.
        allowed_s: by how much the output's count of time rounds.
        is_shifted: it begins near 0 whatever the source does, as `VideoWriter` has it.
        pictures: look at the pictures too.
        tick: told how many frames are through.
    """
    expected_times_s = _expected_times(source)
    first_s = expected_times_s[0] if expected_times_s else source.info.origin_s
    shift_s = start_shift(first_s) if is_shifted else Fraction(0)
    checked = Checked(shift_s=int(shift_s))
    pairing = choose_pairing(expected_times_s, found_times_s, shift_s)
    glance = glancer(source.info.width, source.info.height)
    expected = (_Expected(*each) for each in with_neighbours(map(glance, source)))
    times, looks = TimeCheck(allowed_s), _Looks()
    missing: list[tuple[int, float]] = []
    added: list[tuple[int, float]] = []
    for pair in pairs_of(expected, found, pairing):
        if pair.expected is not None:
            checked.expected_frames += 1
            checked.expected_end_s = float(pair.expected.exact_s)
        if pair.found is not None:
            checked.found_frames += 1
            checked.found_end_s = float(pair.found.exact_s - shift_s)
        if pair.found is None:
            assert pair.expected is not None
            missing.append((checked.expected_frames, float(pair.expected.exact_s)))
        elif pair.expected is None:
            added.append((checked.found_frames, float(pair.found.exact_s)))
        else:
            times.see(pair.expected.exact_s, pair.found.exact_s - pair.expected.exact_s - shift_s)
        if pictures:
            looks.see(pair)
        tick(checked.expected_frames)
    checked.largest_drift_s = times.largest_s
    checked.pictures_compared = looks.compared
    checked.faults += told_runs("frames missing", missing, "missing", "frame", is_loss=True)
    checked.faults += told_runs("frames added", added, "too many", "frame", is_loss=False)
    checked.faults += [*times.faults(), *looks.faults()]
    checked.notes += _source_notes(source)
    return checked


class _Looks:
    """Collects frames that don't show what they should."""

    def __init__(self) -> None:
        self.compared = 0
        self._number = 0
        self._before: tuple[Grey, Grey] | None = None
        self._is_another = False
        self._other: list[tuple[int, float]] = []
        self._instead: list[tuple[int, float]] = []
        self._repeated: list[tuple[int, float]] = []
        self._off_s: list[float] = []

    def see(self, pair: Pair[_Expected, Glance]) -> None:
        self._number += 1
        before, self._before = self._before, None
        if pair.expected is None or pair.found is None or pair.found.grey is None:
            return
        expected, found, moment_s = pair.expected.glance.grey, pair.found.grey, float(pair.expected.exact_s)
        assert expected is not None
        self.compared += 1
        self._before = found, expected
        was_another, self._is_another = self._is_another, False
        if not was_another and before is not None and is_repeated(found, before[0], expected, before[1]):
            self._repeated.append((self._number, moment_s))
            return
        instead = shown_instead(found, pair.expected.around, pair.expected.place)
        if instead is not None:
            self._instead.append((self._number, moment_s))
            self._off_s.append(float(pair.expected.around[instead].exact_s) - moment_s)
        elif shows_another_picture(found, expected):
            self._is_another = True
            self._other.append((self._number, moment_s))

    def faults(self) -> Iterator[Fault]:
        """What was seen."""
        yield from told_runs("pictures", self._other, "not showing the source's picture", "frame", is_loss=False)
        yield from told_runs("repeated", self._repeated, "repeating the one before", "frame", is_loss=False)
        if self._instead:
            worst = max(self._off_s, key=abs)
            phrase = f"showing the picture of another time ({abs(worst):.3f} s {'before' if worst < 0 else 'after'})"
            yield from told_runs("pictures", self._instead, phrase, "frame", is_loss=False)


def times_of(path: Path) -> list[Fraction]:
    """The times of a video's frames in seconds, as its packets tell them, ascending. Raises SourceError."""
    times: list[Fraction] = []
    with open_container(path) as container:
        stream = video_stream(container, path)
        demuxed = container.demux(stream)
        failures = 0
        while failures < 1000:
            try:
                packet = next(demuxed)
            except StopIteration:
                break
            except av.error.FFmpegError:
                failures += 1
                continue
            if packet.size and packet.pts is not None and packet.time_base and not packet.is_discard:
                times.append(packet.pts * packet.time_base)
    return sorted(times)


def _expected_times(source: Source) -> list[Fraction]:
    info = source.info
    if info.container in ("image", "folder"):
        return [Fraction(place) for place in range(info.declared_frames or 0)][:: info.every]
    start_s, end_s = info.window_s
    times = [
        moment
        for moment in times_of(info.path)
        if (start_s is None or moment >= start_s) and (end_s is None or moment < end_s)
    ]
    return times[:: info.every]


def _source_notes(source: Source) -> list[str]:
    counts, notes = source.counts, []
    if counts.lost:
        notes.append(f"the source itself is damaged: {counted(counts.lost, 'frame')} can't be decoded, nor expected")
    if counts.damaged_marked:
        notes.append(f"the source itself is damaged: {counted(counts.damaged_marked, 'frame')} may look wrong in parts")
    if counts.times_repaired:
        notes.append(f"the source lacks the time of {counted(counts.times_repaired, 'frame')}, or has a wrong one")
    if (early := source.ended_early()) is not None:
        notes.append(f"the source itself is not whole: {early}")
    return notes
