"""Which engine computes a network fastest on this machine: measured at first use, then remembered in the cache."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor

from streamdet import __version__
from streamdet.detection.engines.seam import Engine
from streamdet.detection.engines.translation import TRANSLATION, folder_of, openvino_version
from streamdet.errors import UsageError

TRIALS = 5
WORTH_S = 0.008
"""A network that torch computes faster than this is left to it: there is little to win."""
CLEARLY = 0.97
"""Another engine must need less than this share of torch's time: a tie goes to torch, which starts faster."""
MOST_KEPT = 200
"""Choices that are remembered."""


def choose(
    torch_engine: Engine, others: Mapping[str, Callable[[], Engine]], images: Tensor, sha256: str, cache_dir: Path
) -> Engine:
    """The fastest for such pictures (N, 3, H, W) on this machine: `torch_engine`, or what one of `others` makes.

    Other work on the machine disturbs all alike: they are measured in turns.
    """
    key = key_of(torch_engine, images, sha256)
    known = remembered(cache_dir).get(key, {}).get("engine")
    if known == torch_engine.name:
        return torch_engine
    if make_known := others.get(str(known)):
        with suppress(UsageError, RuntimeError):
            return make_known()
    _seconds(torch_engine, images)  # the first call is slow
    if min(_seconds(torch_engine, images) for _ in range(2)) < WORTH_S:
        return torch_engine
    engines = [torch_engine]
    for make in others.values():
        with suppress(UsageError, RuntimeError):  # a cache that can't be written; a network that it doesn't take
            engine = make()
            _seconds(engine, images)
            engines.append(engine)
    if len(engines) == 1:
        return torch_engine
    rounds = [[_seconds(engine, images) for engine in engines] for _ in range(TRIALS)]
    torch_s, *others_s = (median(times) for times in zip(*rounds, strict=True))
    best_s, best = min(zip(others_s, range(1, len(engines)), strict=True))
    chosen = engines[best] if best_s < CLEARLY * torch_s else torch_engine
    times_ms = {
        f"{engine.name}_ms": round(seconds * 1000, 2)
        for engine, seconds in zip(engines, (torch_s, *others_s), strict=True)
    }
    remember(cache_dir, key, {"engine": chosen.name, **times_ms})
    return chosen


def _seconds(engine: Engine, images: Tensor) -> float:
    started = time.perf_counter()
    engine(images)
    return time.perf_counter() - started


def key_of(engine: Engine, images: Tensor, sha256: str) -> str:
    """All that the choice may depend on."""
    count, _, height, width = images.shape
    versions = f"torch {torch.__version__}, openvino {openvino_version()} v{TRANSLATION}, streamdet {__version__}"
    machine = f"{_processor()}, {torch.get_num_threads()} threads"
    return f"{sha256[:24]}, {count} of {width}x{height}, {engine.precision}; {versions}; {machine}"


def remembered(cache_dir: Path) -> dict[str, dict[str, Any]]:
    """What was chosen so far, by `key_of`; nothing where there is no readable file."""
    try:
        content = json.loads((folder_of(cache_dir) / "choices.json").read_text())
    except (OSError, ValueError):
        return {}
    if not isinstance(content, dict):
        return {}
    return {key: each for key, each in content.items() if isinstance(each, dict)}


def remember(cache_dir: Path, key: str, choice: dict[str, Any]) -> None:
    """Keep a choice; where the folder can't be written, the next run measures again."""
    path = folder_of(cache_dir) / "choices.json"
    kept = {**remembered(cache_dir), key: choice}
    kept = dict(list(kept.items())[-MOST_KEPT:])
    aside = path.with_name(f".choices-{os.getpid()}.json")
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        aside.write_text(json.dumps(kept, indent=2) + "\n")
        aside.replace(path)


def _processor() -> str:
    """Its name as Linux tells it; elsewhere what Python knows."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
