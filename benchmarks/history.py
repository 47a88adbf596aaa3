"""Rows of HISTORY.md."""

from __future__ import annotations

import datetime
import subprocess
from pathlib import Path

HISTORY = Path(__file__).with_name("HISTORY.md")


def machine() -> str:
    """What the work ran on, in short."""
    import torch

    threads = torch.get_num_threads()
    return f"{torch.backends.cpu.get_cpu_capability()}, {threads} thread{'s' * (threads != 1)}"


def history_row(script: str, on: str, versions: str, theirs: str, ours: str, ratio: str, details: str) -> str:
    """A row; `theirs`, `ours` and `details` name their units where these are not those of the table's head."""
    asked = ["git", "-C", str(HISTORY.parent), "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()
    cells = [datetime.date.today().isoformat(), script, on, versions, commit or "-", theirs, ours, ratio, details]
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def append_row(row: str, path: Path = HISTORY) -> None:
    """Keep a row."""
    with path.open("a") as file:
        file.write(row + "\n")
