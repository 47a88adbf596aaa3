"""What a frame goes through in `streamdet draw` before it is drawn: as in `streamdet run`, but for the detector."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from streamdet.cli.analysing import Scores, make_analysis, place_rules
from streamdet.cli.draw_lines import Kept, LinedFrames, ToldPlaces, missing_below, scores_of, told_rules
from streamdet.pipeline import Step, timed
from streamdet.results.places import PlaceRules, Places
from streamdet.results.tally import Tally
from streamdet.video.blur import Blur

if TYPE_CHECKING:
    from streamdet.cli.draw import DrawOptions
    from streamdet.report import RunReport


class DrawSteps:
    """The steps of one clip, and what they amount to."""

    def __init__(self, options: DrawOptions, header: Mapping[str, Any], frames: LinedFrames, report: RunReport) -> None:
        """Raises UsageError or DataError when something asked for is not in the file, or outside of the picture."""
        names = tuple(header["classes"])
        geometry: Mapping[str, Mapping[str, Any]] = header.get("places") or {}
        blur = options.analysis.blur or tuple(header.get("blur") or ())
        tracks = options.analysis.tracks or bool(blur) or "tracking" in header
        scores = scores_of(header, conf=options.conf, classes=options.classes, blur=blur, tracks=tracks)
        is_told = bool(geometry) and not options.counts_anew
        rules = PlaceRules() if is_told else self._rules(options, geometry, report)
        if rules:
            Places.of(rules).geometry((header["width"], header["height"]))  # raises where they lie outside
        report.notes += filter(None, [missing_below(header, scores)])
        self._tally = Tally() if tracks else None
        self._blur = Blur(blur) if blur else None
        self.steps = self._made(scores, names, rules, ToldPlaces(geometry, frames) if is_told else None, report)

    def tell(self, report: RunReport) -> None:
        """Put what was counted and blurred into the receipt."""
        if self._tally is not None:
            report.places = self._tally.to_dict()
        if self._blur is not None:
            report.blurring, report.blurred = self._blur.account.as_dict(), self._blur.account.told()

    def _rules(self, options: DrawOptions, geometry: Mapping[str, Mapping[str, Any]], report: RunReport) -> PlaceRules:
        if options.analysis.has_places or not geometry:
            return place_rules(options.analysis)
        report.notes.append("lines, zones and bays of the run count anew; --places FILE tells their classes and ground")
        return told_rules(geometry)

    def _made(
        self, scores: Scores, names: tuple[str, ...], rules: PlaceRules, told: ToldPlaces | None, report: RunReport
    ) -> list[Step]:
        analysis = make_analysis(scores, names, rules, tracks=self._tally is not None)
        steps: list[Step] = [Kept(scores)]
        steps.append(analysis if self._tally is None else timed(analysis, report.stage("track")))
        steps += [] if told is None else [told]
        steps += [] if self._tally is None else [self._tally]
        steps += [] if self._blur is None else [timed(self._blur, report.stage("blur"))]
        return steps
