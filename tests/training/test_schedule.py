from __future__ import annotations

import pytest

from streamdet.training.schedule import TrainOptions


def test_rates() -> None:
    options = TrainOptions(images_seen=3200, batch_size=32, learning_rate=1e-3, warmup=0.1)
    rates = [options.rate(step) for step in range(options.steps)]
    assert len(rates) == 100
    assert rates[0] == pytest.approx(2e-3 / 10)  # twice the reference's batch, twice its rate
    assert rates[9] == rates[10] == max(rates) == options.peak_rate == pytest.approx(2e-3)
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[55] == pytest.approx(2e-3 * 0.505)
    assert rates[-1] == pytest.approx(2e-5, rel=0.1)


def test_the_papers_steps() -> None:
    options = TrainOptions(images_seen=16 * 90, batch_size=16, learning_rate=0.01, schedule="steps", warmup=0.0)
    rates = [options.rate(step) for step in range(90)]
    assert rates[:60] == pytest.approx([0.01] * 60)
    assert rates[60:80] == pytest.approx([0.001] * 20)
    assert rates[80:] == pytest.approx([0.0001] * 10)


def test_accumulated_batches_count_in_steps_and_rate() -> None:
    options = TrainOptions(images_seen=640, batch_size=8, accumulate=4, learning_rate=1e-3, evaluate_every=64)
    assert options.effective_batch == 32
    assert options.steps == 20
    assert options.evaluate_every_steps == 2
    assert max(options.rate(step) for step in range(20)) == pytest.approx(2e-3)


def test_input_sizes_follow_the_shares() -> None:
    options = TrainOptions(images_seen=40, batch_size=4, sizes=((0.4, 64, 32), (0.5, 96, 64), (1.0, 128, 96)))
    assert options.step_sizes() == [(64, 32)] * 4 + [(96, 64)] + [(128, 96)] * 5
    assert TrainOptions(evaluate_every=10, batch_size=16).evaluate_every_steps == 1


def test_many_scales_are_those_of_the_seed() -> None:
    def sizes(seed: int) -> list[tuple[int, int]]:
        full = ((1.0, 448, 320),)
        options = TrainOptions(images_seen=400, batch_size=4, sizes=full, multi_scale=(0.5, 1.5), seed=seed)
        return options.step_sizes()

    assert sizes(1) == sizes(1) != sizes(2)
    assert all(side % 32 == 0 for size in sizes(1) for side in size)
    widths, heights = zip(*sizes(1), strict=True)
    assert (min(widths), max(widths)) == (224, 672)
    assert (min(heights), max(heights)) == (160, 480)
    assert all(abs(w / h - 1.4) < 0.3 for w, h in sizes(1))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"images_seen": 15}, "15 samples make no step of 16"),
        ({"images_seen": 31, "accumulate": 2}, "31 samples make no step of 32"),
        ({"batch_size": 0}, "make no step of 0"),
        ({"optimizer": "lion"}, "optimizer is 'lion', expected one of adamw, sgd"),
        ({"schedule": "linear"}, "schedule is 'linear', expected one of cosine, steps"),
        ({"cache": "disk"}, "cache is 'disk', expected one of auto, memory, off"),
        ({"frozen_stages": 6}, "frozen_stages is 6, expected 0 to 5"),
        ({"multi_scale": (1.2, 0.8)}, "two positive factors that rise"),
        ({"sizes": ((1.0, 100, 64),)}, "multiple of 32"),
        ({"sizes": ((1.0, 0, 64),)}, "multiple of 32"),
        ({"sizes": ((0.9, 64, 64),)}, "rise and end with 1"),
        ({"sizes": ((0.5, 64, 64), (0.5, 96, 96), (1.0, 128, 128))}, "rise and end with 1"),
        ({"sizes": ()}, "rise and end with 1"),
    ],
)
def test_wrong_options_are_refused(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TrainOptions(**wrong)  # type: ignore[arg-type]
