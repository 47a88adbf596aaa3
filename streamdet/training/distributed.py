"""Several processes that train one model: who is who, and what they tell each other.

`torchrun` starts the processes and describes them in environment variables; the command line reads those. Each process
takes its share of each batch, DistributedDataParallel averages the gradients, and process 0 writes and evaluates with
the others' help. One process alone goes through the same code, and talks to nobody.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from streamdet.errors import UsageError

T = TypeVar("T")
TIMEOUT = datetime.timedelta(hours=2)
"""The others wait this long for process 0 to evaluate or to save."""


@dataclass(frozen=True)
class Processes:
    """This process among those of the run."""

    rank: int = 0
    count: int = 1
    local_rank: int = 0
    """Among the processes of this machine: also the number of its GPU."""

    @property
    def is_main(self) -> bool:
        """True for the one that writes and talks."""
        return self.rank == 0

    def sum(self, values: Tensor) -> Tensor:
        """The sum of all processes' `values`; the same everywhere."""
        if self.count > 1:
            dist.all_reduce(values)
        return values

    def sum_pair(self, first: int, second: int) -> tuple[int, int]:
        """The sums of all processes' two numbers."""
        if self.count == 1:
            return first, second
        device = torch.device("cuda", self.local_rank) if dist.get_backend() == "nccl" else torch.device("cpu")
        total = self.sum(torch.tensor([first, second], device=device)).tolist()
        return int(total[0]), int(total[1])

    def gather(self, value: T) -> list[T]:
        """Every process's value, by rank, in every process."""
        if self.count == 1:
            return [value]
        values: list[Any] = [None] * self.count
        dist.all_gather_object(values, value)
        return values

    def synchronise_batch_norm(self, network: nn.Module, device: torch.device) -> None:
        """Let live batch norms gather statistics over all processes. Raises UsageError where torch has no way to."""
        if self.count == 1 or not any(isinstance(module, nn.BatchNorm2d) for module in network.modules()):
            return
        if device.type == "cpu":
            raise UsageError(
                f"--batch-norm is live, but {self.count} processes on CPUs can't share its statistics; take folded or "
                "frozen, or one process"
            )
        # In place, as the network itself is no batch norm.
        nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]

    def join(self, network: nn.Module, device: torch.device) -> nn.Module:
        """`network` with its gradients averaged over all processes, beginning with process 0's weights."""
        if self.count == 1:
            return network
        return DistributedDataParallel(network, [device.index] if device.type == "cuda" else None)

    def apart(self, network: nn.Module) -> AbstractContextManager[None]:
        """While in here, gradients stay with their process."""
        return network.no_sync() if isinstance(network, DistributedDataParallel) else nullcontext()

    def leave(self) -> None:
        """Say goodbye to the others."""
        if self.count > 1 and dist.is_initialized():
            dist.destroy_process_group()


def described_processes(environment: Mapping[str, str]) -> Processes:
    """This process as `torchrun` describes it; one alone when it doesn't. Raises UsageError for a half description."""
    if "WORLD_SIZE" not in environment:
        return Processes()
    try:
        return Processes(*(int(environment[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK")))
    except (KeyError, ValueError) as error:
        raise UsageError(
            f"WORLD_SIZE is {environment['WORLD_SIZE']!r}, but RANK and LOCAL_RANK don't go with it ({error}); start "
            "with torchrun, or unset WORLD_SIZE"
        ) from error


def meet(processes: Processes, device: torch.device) -> None:
    """Wait until all processes are there and can talk to each other."""
    if processes.count == 1:
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=TIMEOUT)
