"""PyTorch's network on a CUDA GPU, replayed from CUDA graphs: one launch per batch instead of some hundred."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor

from streamdet.detection.engines.seam import Engine
from streamdet.detection.retinanet import HeadOutputs

MOST_GRAPHS = 8
"""Shapes whose graphs are kept, each with the memory of its network's values; the least recently used goes first."""
MOST_SEEN = 1000
"""Shapes that are remembered as seen once."""
WARM_UP = 3
"""Passes before a graph is recorded: cuDNN tries its algorithms, and memory finds its place."""

Shape = tuple[int, ...]


class Replay(Protocol):
    """A recorded pass of the network for pictures of one shape."""

    def __call__(self, images: Tensor) -> list[HeadOutputs]:
        """Raw outputs for pictures of that shape; the next call overwrites them."""


class GraphEngine:
    """An engine whose work is recorded per batch shape and then replayed.

    A shape is recorded when it comes for the second time: the last batch of a file and photographs of every size are
    computed as they come. Where recording fails, everything is, and one sentence tells so.
    """

    def __init__(
        self,
        engine: Engine,
        tell: Callable[[str], None],
        record: Callable[[Engine, Tensor], Replay] | None = None,
    ) -> None:
        """`engine`: does the work, on a CUDA device. `tell`: takes a sentence for the user.

        `record`: makes a replay of the engine's pass over such images; by default a CUDA graph.
        """
        self.name, self.precision = engine.name, engine.precision
        self._engine, self._tell = engine, tell
        self._record: Callable[[Engine, Tensor], Replay] | None = record or CudaGraphs()
        self._replays: OrderedDict[Shape, Replay] = OrderedDict()
        self._seen: set[Shape] = set()

    @torch.inference_mode()  # what is recorded in it can't be written to outside of it
    def __call__(self, images: Tensor) -> list[HeadOutputs]:
        """Raw outputs of all pictures together. Raises torch.OutOfMemoryError where a graph has no room."""
        shape = tuple(images.shape)
        replay = self._replays.get(shape)
        if replay is None:
            replay = self._recorded(shape, images)
            if replay is None:
                return self._engine(images)
        self._replays.move_to_end(shape)
        return replay(images)

    def _recorded(self, shape: Shape, images: Tensor) -> Replay | None:
        if self._record is None or shape not in self._seen:
            if len(self._seen) >= MOST_SEEN:
                self._seen.clear()
            self._seen.add(shape)
            return None
        if len(self._replays) >= MOST_GRAPHS:
            self._replays.popitem(last=False)
        try:
            replay = self._record(self._engine, images)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            if isinstance(error.__context__, torch.OutOfMemoryError):  # what ended the recording is told second
                raise error.__context__ from None
            self._record = None
            first_line = str(error).partition("\n")[0]
            self._tell(f"no CUDA graph could be recorded ({first_line}): the network runs without, slower")
            return None
        self._replays[shape] = replay
        return replay


class CudaGraphs:
    """Records CUDA graphs that share one pool of memory, as they never run at the same time."""

    def __init__(self) -> None:
        self._pool: Any = None

    def __call__(self, engine: Engine, images: Tensor) -> CudaReplay:
        """Record the engine's pass over images (N, 3, H, W) on a CUDA device.

        Raises RuntimeError where something in it can't be recorded.
        """
        with torch.cuda.device(images.device):
            if self._pool is None:
                self._pool = torch.cuda.graph_pool_handle()
            given = torch.empty_like(images, memory_format=torch.channels_last)
            given.copy_(images)
            benchmark, torch.backends.cudnn.benchmark = torch.backends.cudnn.benchmark, True
            try:
                side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
                side.wait_stream(torch.cuda.current_stream())
                with torch.cuda.stream(side):
                    for _ in range(WARM_UP):
                        engine(given)
                torch.cuda.current_stream().wait_stream(side)
                graph = torch.cuda.CUDAGraph()
                # thread_local: a decoding thread may allocate pinned memory meanwhile
                with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
                    outputs = engine(given)
            finally:
                torch.backends.cudnn.benchmark = benchmark
        return CudaReplay(graph, given, outputs)


class CudaReplay:
    """A CUDA graph with the tensors that it reads and writes."""

    def __init__(self, graph: torch.cuda.CUDAGraph, given: Tensor, outputs: list[HeadOutputs]) -> None:
        self._graph, self._given, self._outputs = graph, given, outputs

    def __call__(self, images: Tensor) -> list[HeadOutputs]:
        """Raw outputs for `images`, of the recorded shape and dtype."""
        self._given.copy_(images)
        self._graph.replay()
        return self._outputs
