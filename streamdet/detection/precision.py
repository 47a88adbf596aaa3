"""Where the network runs and in which number format: half precision where it pays, float32 elsewhere."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from streamdet.errors import UsageError

PRECISIONS = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class Placement:
    """A device and a number format."""

    device: torch.device
    dtype: torch.dtype

    @property
    def precision(self) -> str:
        """Name of the number format."""
        return str(self.dtype).removeprefix("torch.")


def cpu_has_fast_bfloat16() -> bool:
    """True on CPUs with AMX or AVX512-BF16 units; on others bfloat16 is emulated, ten times slower than float32."""
    capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    names = ("amx_bf16", "amx_tile", "avx512_bf16")
    if capabilities:
        return any(bool(capabilities.get(name)) for name in names)
    return bool(torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported())


def choose_placement(device: str = "auto", precision: str = "auto") -> Placement:
    """The device and number format to use. `device`: auto, cpu, cuda, cuda:N; `precision`: auto or a format's name.

    Raises UsageError when a device isn't there or a name is unknown.
    """
    chosen = _device(device)
    if precision != "auto":
        if precision not in PRECISIONS:
            raise UsageError(f"--precision is {precision!r}; choose auto, {', '.join(PRECISIONS)}")
        return Placement(chosen, PRECISIONS[precision])
    if chosen.type == "cuda":
        return Placement(chosen, torch.float16)
    return Placement(chosen, torch.bfloat16 if cpu_has_fast_bfloat16() else torch.float32)


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(f"--device is {name!r}; choose auto, cpu, cuda or cuda:N") from error
    if device.type not in ("cpu", "cuda"):
        raise UsageError(f"--device is {name!r}; choose auto, cpu, cuda or cuda:N")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UsageError(f"--device is {name!r} but PyTorch finds no CUDA GPU; use --device cpu or install a driver")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UsageError(f"--device is {name!r} but there are only {torch.cuda.device_count()} GPUs; they count from 0")
    return device
