from __future__ import annotations

from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of scripts, whose files can be imported as when one of them is run."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return BENCHMARKS
