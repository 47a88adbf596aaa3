"""A file of measured runs that later ones add to, on another day or machine, as long as the settings are the same."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

Run = dict[str, Any]


class Record:
    """`{"settings": {...}, "runs": [...]}` in a JSON file. Several processes may add to it."""

    def __init__(self, path: Path, settings: dict[str, Any]) -> None:
        """Begin it, or go on with it. Raises SystemExit when it was made with other settings: they must not meet."""
        self.path = path
        if path.exists() and (before := json.loads(path.read_text())["settings"]) != settings:
            keys = [key for key in {**before, **settings} if before.get(key) != settings.get(key)]
            changed = ", ".join(f"{key} {before.get(key)} -> {settings.get(key)}" for key in keys)
            raise SystemExit(f"{path} holds runs with other settings ({changed}); give the same ones or another --out")
        path.parent.mkdir(parents=True, exist_ok=True)
        self._change(lambda content: content.setdefault("settings", settings))

    @property
    def runs(self) -> list[Run]:
        """All, as they were added."""
        runs: list[Run] = json.loads(self.path.read_text()).get("runs", [])
        return runs

    def find(self, **key: Any) -> Run | None:
        """The run that has these values."""
        return next((run for run in self.runs if all(run.get(name) == value for name, value in key.items())), None)

    def add(self, run: Run) -> None:
        """Write it down."""
        self._change(lambda content: content.setdefault("runs", []).append(run))

    def _change(self, change: Callable[[dict[str, Any]], object]) -> None:
        with self.path.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            content = json.loads(self.path.read_text()) if self.path.exists() else {}
            change(content)
            aside = self.path.with_suffix(".part")
            aside.write_text(json.dumps(content, indent=1) + "\n")
            aside.replace(self.path)
