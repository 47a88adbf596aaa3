from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from streamdet.detection.batching import MOST, ON_A_CPU, batch_for, find_batch, seconds_of
from streamdet.detection.detector import Detector
from streamdet.detection.precision import Placement, choose_placement
from tests.networks import tiny_model


def device(launch_s: float, picture_s: float, room: int = 10_000) -> tuple[Callable[[int], float], list[int]]:
    """What a batch costs on a device with room for so many pictures, and the sizes that were asked for."""
    asked: list[int] = []

    def cost(size: int) -> float:
        asked.append(size)
        if size > room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return launch_s + size * picture_s

    return cost, asked


@pytest.mark.parametrize(
    ("launch_s", "picture_s", "batch"),
    [
        (0.0, 0.002, 1),  # nothing to share: 500 pictures a second, whatever the batch
        (0.002, 0.002, 16),  # 250, 333, 400, 444, 471, 485 a second: the last step is 3 %
        (0.100, 0.002, MOST),  # still growing
    ],
)
def test_it_grows_while_that_pays(launch_s: float, picture_s: float, batch: int) -> None:
    cost, asked = device(launch_s, picture_s)
    assert find_batch(cost) == batch
    assert asked == [2**power for power in range(len(asked))]


def test_memory_and_the_limit_end_it() -> None:
    cost, asked = device(1.0, 0.001, room=12)
    assert find_batch(cost) == 8
    assert asked == [1, 2, 4, 8, 16]
    cost, asked = device(1.0, 0.001)
    assert find_batch(cost, 20) == 16
    assert asked[-1] == 16
    cost, _ = device(1.0, 0.001, room=0)
    assert find_batch(cost) == 1  # whoever runs it will say what is wrong
    assert find_batch(device(1.0, 0.001)[0], 0) == 1


def test_the_hosts_memory_counts_and_other_errors_are_raised() -> None:
    def costly(size: int) -> float:
        if size > 2:
            raise MemoryError
        return 1.0

    def broken(size: int) -> float:
        raise RuntimeError("shapes differ")

    assert find_batch(costly) == 2
    with pytest.raises(RuntimeError, match="shapes differ"):
        find_batch(broken)


def test_a_detector_is_measured_in_pictures_of_any_size() -> None:
    detector = Detector(tiny_model(), Placement(torch.device("cpu"), torch.float32))
    for width, height in ((64, 48), (65, 47), (1, 1)):
        assert seconds_of(detector, width, height, 2) > 0
    assert batch_for(detector, 64, 48) == ON_A_CPU
    assert batch_for(detector, 64, 48, most=1) == 1


@pytest.mark.gpu
def test_a_batch_is_found_on_the_gpu() -> None:
    detector = Detector(tiny_model(), choose_placement("cuda"))
    found = batch_for(detector, 320, 180, most=16)
    assert found in (1, 2, 4, 8, 16)
    assert len(detector.notes) == 0
