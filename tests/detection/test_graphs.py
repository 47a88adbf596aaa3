from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from streamdet.detection.detector import Detector
from streamdet.detection.engines.graphs import MOST_GRAPHS, GraphEngine, Replay
from streamdet.detection.engines.making import folded
from streamdet.detection.engines.seam import Engine, TorchEngine
from streamdet.detection.precision import choose_placement
from streamdet.detection.retinanet import HeadOutputs
from tests.networks import noise_picture, tiny_model


class Doubling:
    """An engine whose only output tells what it was given."""

    name = "torch"
    precision = "float16"

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, images: Tensor) -> list[HeadOutputs]:
        self.calls += 1
        return [HeadOutputs([images * 2], [])]


class Recorder:
    """Records as a CUDA graph does: fixed tensors that each replay overwrites."""

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []

    def __call__(self, engine: Engine, images: Tensor) -> Replay:
        self.shapes.append(tuple(images.shape))
        outputs = engine(images)
        recorded = images.shape

        def replay(images: Tensor) -> list[HeadOutputs]:
            assert images.shape == recorded
            outputs[0].logits[0].copy_(images * 2)
            return outputs

        return replay


def batch(count: int, value: float = 1.0, side: int = 32) -> Tensor:
    return torch.full((count, 3, side, side), value)


def output(engine: GraphEngine, images: Tensor) -> Tensor:
    (heads,) = engine(images)
    return heads.logits[0]


def test_a_shape_is_recorded_when_it_comes_again_and_then_replayed() -> None:
    told: list[str] = []
    inner, record = Doubling(), Recorder()
    engine = GraphEngine(inner, told.append, record)
    assert (engine.name, engine.precision) == ("torch", "float16")
    for value in (1.0, 2.0, 3.0, 4.0):
        torch.testing.assert_close(output(engine, batch(2, value)), batch(2, 2 * value))
    torch.testing.assert_close(output(engine, batch(1, 7.0)), batch(1, 14.0))  # the last batch of a file
    assert record.shapes == [(2, 3, 32, 32)]
    assert inner.calls == 3  # as it came, for the recording, and the last batch
    assert not told


def test_few_graphs_are_kept_the_last_used_ones() -> None:
    record = Recorder()
    engine = GraphEngine(Doubling(), pytest.fail, record)
    for _ in range(2):
        for count in range(1, MOST_GRAPHS + 2):
            engine(batch(count))
            engine(batch(1))  # stays in use
    assert record.shapes.count((1, 3, 32, 32)) == 1
    before = len(record.shapes)
    engine(batch(MOST_GRAPHS + 1))
    assert len(record.shapes) == before
    engine(batch(2))  # had to go
    assert len(record.shapes) == before + 1


def failing(error: Exception) -> Callable[[Engine, Tensor], Replay]:
    def record(engine: Engine, images: Tensor) -> Replay:
        raise error

    return record


def test_without_graphs_it_goes_on_and_says_so_once() -> None:
    told: list[str] = []
    error = RuntimeError("CUDA error: operation not permitted when stream is capturing\nmore lines")
    engine = GraphEngine(Doubling(), told.append, failing(error))
    for _ in range(2):
        for count in (1, 1, 2, 2):
            torch.testing.assert_close(output(engine, batch(count, 3.0)), batch(count, 6.0))
    assert told == [
        "no CUDA graph could be recorded (CUDA error: operation not permitted when stream is capturing): "
        "the network runs without, slower"
    ]


def test_no_room_for_a_graph_is_out_of_memory() -> None:
    full = torch.OutOfMemoryError("CUDA out of memory")
    in_the_recording = RuntimeError("CUDA error: operation failed due to a previous error during capture")
    in_the_recording.__context__ = full
    for error in (full, in_the_recording):
        engine = GraphEngine(Doubling(), pytest.fail, failing(error))
        engine(batch(4))
        with pytest.raises(torch.OutOfMemoryError):
            engine(batch(4))
        engine(batch(2))  # half the batch goes on


def test_a_network_in_fixed_tensors_gives_the_networks_outputs() -> None:
    """What a graph does, without a GPU: the real network on a copy of the pictures in memory that stays."""

    def record(engine: Engine, images: Tensor) -> Replay:
        given = torch.empty_like(images, memory_format=torch.channels_last)

        def replay(images: Tensor) -> list[HeadOutputs]:
            given.copy_(images)
            return engine(given)

        return replay

    plain = TorchEngine(folded(tiny_model()), torch.device("cpu"), torch.float32)
    engine = GraphEngine(plain, pytest.fail, record)
    for seed in range(3):
        images = torch.randn(2, 3, 96, 160, generator=torch.Generator().manual_seed(seed))
        for ours, expected in zip(engine(images), plain(images), strict=True):
            torch.testing.assert_close([*ours.logits, *ours.deltas], [*expected.logits, *expected.deltas])


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["float16", "bfloat16", "float32"])
def test_graphs_give_the_outputs_of_the_network(precision: str) -> None:
    placement = choose_placement("cuda", precision)
    plain = TorchEngine(folded(tiny_model()), placement.device, placement.dtype)
    engine = GraphEngine(plain, pytest.fail)
    with torch.inference_mode():
        for seed in range(4):
            for count in (1, 4, 3):
                generator = torch.Generator().manual_seed(seed)
                images = torch.randn(count, 3, 96, 160, generator=generator).to(placement.device)
                (ours,), (expected,) = engine(images), plain(images)
                for a, b in zip([*ours.logits, *ours.deltas], [*expected.logits, *expected.deltas], strict=True):
                    torch.testing.assert_close(a.float(), b.float(), atol=0.05, rtol=0.05)


@pytest.mark.gpu
def test_a_detector_on_the_gpu_replays_graphs() -> None:
    detector = Detector(tiny_model(), choose_placement("cuda"))
    assert isinstance(detector.engine, GraphEngine)
    first, *others = ([len(found) for found in detector([noise_picture(320, 180)] * 2)] for _ in range(4))
    assert all(abs(counts[0] - first[0]) < 0.05 * first[0] for counts in others)
    assert not detector.notes
