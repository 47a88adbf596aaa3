from __future__ import annotations

import pytest

from streamdet.training.schedule import TrainOptions


def test_rates() -> None:
    options = TrainOptions(images_seen=3200, batch_size=32, learning_rate=1e-3, warmup=0.1)
    rates = [options.rate(step) for step in range(options.steps)]
    assert len(rates) == 100
    assert rates[0] == pytest.approx(2e-3 / 10)  # twice the reference's batch, twice its rate
    assert rates[9] == rates[10] == max(rates) == pytest.approx(2e-3)
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[55] == pytest.approx(2e-3 * 0.505)
    assert rates[-1] == pytest.approx(2e-5, rel=0.1)


def test_input_sizes_follow_the_shares() -> None:
    options = TrainOptions(images_seen=40, batch_size=4, sizes=((0.4, 64, 32), (0.5, 96, 64), (1.0, 128, 96)))
    assert options.step_sizes() == [(64, 32)] * 4 + [(96, 64)] + [(128, 96)] * 5
    assert TrainOptions(evaluate_every=10, batch_size=16).evaluate_every_steps == 1


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"images_seen": 15}, "15 samples make no step of 16"),
        ({"batch_size": 0}, "make no step of 0"),
        ({"optimizer": "lion"}, "optimizer is 'lion', expected one of adamw, sgd"),
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
