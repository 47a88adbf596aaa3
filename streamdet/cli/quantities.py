"""Times and sizes as people write them: 90, 500ms, 10m, 24h; 800MB, 50GB."""

from __future__ import annotations

import re

from streamdet.errors import UsageError

_QUANTITY = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)\s*")
SECONDS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
BYTES = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12, "k": 10**3, "m": 10**6, "g": 10**9}


def parse_seconds(text: str, option: str) -> float:
    """Seconds from "90", "500ms", "10m", "24h" or "7d". Raises UsageError naming the `option`."""
    match = _QUANTITY.fullmatch(text)
    if match is None or match[2].lower() not in SECONDS or float(match[1]) <= 0:
        raise UsageError(f"{option} is {text!r}; give a time such as 90s, 10m or 24h")
    return float(match[1]) * SECONDS[match[2].lower()]


def parse_bytes(text: str, option: str) -> int:
    """Bytes from "800MB" or "50GB" (decimal, as disks are sold). Raises UsageError naming the `option`."""
    match = _QUANTITY.fullmatch(text)
    if match is None or match[2].lower() not in BYTES:
        raise UsageError(f"{option} is {text!r}; give a size such as 800MB or 50GB")
    return int(float(match[1]) * BYTES[match[2].lower()])
