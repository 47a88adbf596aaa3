"""One thread for small work on the CPU.

PyTorch's threads wait for each other in a busy loop. Where decoder, encoder or a second process share the cores, two
threads took 50 ms for what one does in 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def one_thread() -> Iterator[None]:
    """PyTorch's operations of the calling thread run in it alone. Costs less than a microsecond."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
