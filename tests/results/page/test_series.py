from __future__ import annotations

import numpy as np

from streamdet.results.page.charts import Axis, count_chart, nice_top, points_of
from streamdet.results.page.clock import Clock
from streamdet.results.page.coverage import Coverage, Gap
from streamdet.results.page.series import MOST_BINS, Series
from tests.results.page.lines import frame_line


def test_bins_grow_with_the_time_and_keep_sums_most_and_peak() -> None:
    series = Series(2)
    rng = np.random.default_rng(1)
    counts = rng.integers(0, 20, (40_000, 2))
    for i, row in enumerate(counts):
        series.add(i * 1.0, row, frame_line(i, i * 1.0))
    width_s, bins = series.bins()
    assert width_s == 30
    assert len(bins) == -(-40_000 // 30) <= MOST_BINS
    for begin_s, one in bins:
        inside = counts[int(begin_s) : int(begin_s) + 30]
        assert one.frames == len(inside)
        assert one.sums.tolist() == inside.sum(0).tolist()
        assert one.most.tolist() == inside.max(0).tolist()
        assert one.peak is not None
        assert one.peak.index == int(begin_s) + int(inside.sum(1).argmax())
    total = series.totals()
    assert (total.frames, total.sums.tolist()) == (40_000, counts.sum(0).tolist())


def test_bins_may_be_asked_to_be_wider_but_not_narrower() -> None:
    series = Series(1)
    for i in range(600):
        series.add(i * 0.1, np.array([1]))
    assert series.bins()[0] == 0.1
    width_s, bins = series.bins(least_width_s=1)
    assert (width_s, len(bins), bins[3][1].frames) == (1, 60, 10)
    assert series.bins(most=7)[0] == 10


def test_moments_in_any_order_give_the_same_bins() -> None:
    forth, back = Series(1), Series(1)
    for i in range(5000):
        forth.add(i * 0.7, np.array([i % 5]))
        back.add((4999 - i) * 0.7, np.array([(4999 - i) % 5]))
    told = [[(begin_s, one.frames, one.sums.tolist()) for begin_s, one in series.bins()[1]] for series in (forth, back)]
    assert told[0] == told[1]


def test_a_gap_breaks_the_line_of_a_chart() -> None:
    series = Series(1)
    for i in [*range(100), *range(400, 500)]:
        series.add(i * 0.1, np.array([3]))
    width_s, points = points_of(series, 0, 0.1)
    clock = Clock(live=False)
    whole = count_chart(Axis(0, 50, clock), width_s, points, "car", "")
    broken = count_chart(Axis(0, 50, clock, [Gap(9.9, 40.0)]), width_s, points, "car", "")
    assert whole.count('class="line"') == 1
    assert broken.count('class="line"') == 2
    assert broken.count('class="gap"') == 1
    assert "left:19.800%;width:60.200%" in broken
    # both ends stand at the gap's edges, at the same height as all: nothing falls to zero
    assert '"line" d="M0 0L' in broken
    assert 'L198 0"' in broken
    assert '"line" d="M800 0L' in broken


def test_tops_of_charts_are_round() -> None:
    assert [nice_top(value) for value in (0, 0.4, 1, 7, 11, 13, 61, 81, 4321)] == [1, 1, 1, 8, 12, 15, 80, 100, 5000]


def covered(lines: list[tuple[int, float]]) -> Coverage:
    coverage = Coverage()
    for index, time_s in lines:
        line = frame_line(index, time_s)
        coverage.add(line, line.shown, time_s)
    return coverage


def test_gaps_are_found_beside_the_usual_distance() -> None:
    coverage = covered([(i, i * 0.04) for i in range(100)] + [(100 + i, 10 + i * 0.04) for i in range(100)])
    assert coverage.gaps == [Gap(3.96, 10.0)]
    assert abs(coverage.usual_interval_s - 0.04) < 0.002
    assert coverage.missing == 0


def test_a_time_lapse_has_no_gaps_and_its_rate_is_known() -> None:
    coverage = covered([(i * 250, i * 10.0) for i in range(50)])
    assert coverage.gaps == []
    assert coverage.every == 250
    assert coverage.missing == 0
    assert abs(coverage.usual_interval_s - 10) < 0.5


def test_numbers_that_are_left_out_are_missing_frames() -> None:
    coverage = covered([(i, i * 0.1) for i in range(50) if i not in (7, 8, 30)])
    assert coverage.missing == 3
    assert covered([(i, i * 0.1) for i in range(0, 100, 2) if i != 20]).missing == 1
    # a machine that is far too slow, and a run that began anew
    assert covered([(0, 0.0), (106, 4.0), (138, 5.0), (171, 6.0), (0, 9.0), (1, 9.1)]).missing == 171 - 3


def test_a_clock_that_is_set_back_is_no_gap() -> None:
    coverage = covered([(0, 100.0), (1, 100.1), (2, 40.0), (3, 40.1)])
    assert (coverage.set_back, coverage.gaps, coverage.first_s, coverage.last_s) == (1, [], 40.0, 100.1)
