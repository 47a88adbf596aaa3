from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import browser
from tests.events import servers
from tests.live_servers import rtsp

SHARED = Path(__file__).parents[2] / "shared"
# multiprocessing's, of torch's data loader, and tqdm's, of torch's export: daemons that end on their own
FOREIGN_THREADS = ("QueueFeederThread", "tqdm_monitor")
THREADS_END_WITHIN_S = 3.0


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gpu"):
        import torch

        if not torch.cuda.is_available():
            if os.environ.get("STREAMDET_REQUIRE_GPU") == "1":
                pytest.fail("no CUDA device, and STREAMDET_REQUIRE_GPU=1 asks for one")
            pytest.skip("needs a CUDA device")
    if item.get_closest_marker("rtsp") and (reason := rtsp.missing()):
        if os.environ.get("CI"):
            pytest.fail(f"{reason}; in CI these tests must run")
        pytest.skip(reason)
    if item.get_closest_marker("mosquitto") and servers.MOSQUITTO is None:
        if os.environ.get("CI"):
            pytest.fail("mosquitto is missing, and in CI the tests that need it must run")
        pytest.skip("needs mosquitto")
    if item.get_closest_marker("browser") and (reason := browser.missing()):
        if os.environ.get("CI"):
            pytest.fail(f"{reason}; in CI these tests must run")
        pytest.skip(reason)
    if item.get_closest_marker("shared") and not SHARED.is_dir():
        if os.environ.get("CI"):
            pytest.fail(f"{SHARED} is missing, and in CI the tests that need it must run")
        pytest.skip(f"needs {SHARED}")


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """The project's shared folder; a test that uses it carries the marker `shared`."""
    return SHARED


@pytest.fixture(autouse=True, scope="session")
def cache_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Networks made ready for other engines, and which one is fastest, don't go into the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STREAMDET_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def no_thread_left_behind() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    deadline = time.monotonic() + THREADS_END_WITHIN_S
    while left := [t for t in threading.enumerate() if t not in before and not t.name.startswith(FOREIGN_THREADS)]:
        if time.monotonic() > deadline:
            pytest.fail(f"threads left behind: {', '.join(thread.name for thread in left)}")
        time.sleep(0.01)
