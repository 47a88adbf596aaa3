from __future__ import annotations

from fractions import Fraction

from streamdet.video.timing import FrameClock


def test_the_clock_makes_up_as_little_as_it_can() -> None:
    def stamps(*pts: int | None) -> tuple[list[int], int]:
        clock = FrameClock(Fraction(1, 1000), Fraction(25))
        return [clock.stamp(p) for p in pts], clock.repaired

    assert stamps(5, 45, 85) == ([5, 45, 85], 0)
    assert stamps(None, None, None) == ([0, 40, 80], 3)
    assert stamps(0, 40, 40, 80) == ([0, 40, 41, 80], 1)
    assert stamps(0, 40, None, 120) == ([0, 40, 80, 120], 1)
    assert stamps(100_000, 0, 40) == ([100_000, 100_040, 100_080], 2)
    ntsc = FrameClock(Fraction(1, 1000), Fraction(30000, 1001))
    assert [ntsc.stamp(None) for _ in range(3001)][-1] == round(3000 * 1001 / 30)
