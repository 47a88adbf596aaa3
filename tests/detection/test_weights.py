from __future__ import annotations

import hashlib
import os
import pickle
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.models.detection import RetinaNet_ResNet50_FPN_V2_Weights, RetinaNet_ResNet50_FPN_Weights

from streamdet.detection.weights import PUBLISHED, default_cache_dir, fetch, load_torch_file
from streamdet.errors import ModelError

CONTENT = np.random.default_rng(0).bytes(600_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """A real server on 127.0.0.1 that serves CONTENT and misbehaves on demand."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests: list[tuple[str, str | None]] = []
        self.cut_after: list[int] = []
        """Bytes of the body after which the next connections break, first to last."""
        self.statuses: list[int] = []
        self.ignores_range = False
        self.etag = '"v1"'
        self.stall_s = 0.0
        self.release = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/models/net-{SHA256[:8]}.pth"

    @property
    def ranges(self) -> list[str | None]:
        return [sent for _, sent in self.requests]


class Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *_: object) -> None: ...

    def do_GET(self) -> None:
        server, sent_range = self.server, self.headers["Range"]
        server.requests.append((self.path, sent_range))
        if self.path == "/moved.pth":
            self.send_response(302)
            self.send_header("Location", server.url)
            self.end_headers()
            return
        if server.statuses and (status := server.statuses.pop(0)) != 200:
            self.send_error(status)
            return
        start = 0
        if sent_range and not server.ignores_range and self.headers["If-Range"] in (None, server.etag):
            start = int(sent_range.removeprefix("bytes=").removesuffix("-"))
            if start >= len(CONTENT):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(CONTENT)}")
                self.end_headers()
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT) - start))
        self.send_header("ETag", server.etag)
        self.end_headers()
        end = start + server.cut_after.pop(0) if server.cut_after else len(CONTENT)
        self.wfile.write(CONTENT[start:end])
        if server.stall_s and end < len(CONTENT):
            server.release.wait(server.stall_s)


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.release.set()
        server.shutdown()
        thread.join()


def get(server: Server, cache: Path, **changes: object) -> Path:
    options: dict[str, object] = {"sha256_prefix": SHA256[:8], "timeout_s": 5.0, "backoff_s": 0.01} | changes
    return fetch(server.url, cache_dir=cache, **options)  # type: ignore[arg-type]


def left_over(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.iterdir() if path.suffix != ".lock")


def test_names_are_torchvisions() -> None:
    assert PUBLISHED["coco-r50"].url == RetinaNet_ResNet50_FPN_Weights.COCO_V1.url
    assert PUBLISHED["coco-r50-v2"].url == RetinaNet_ResNet50_FPN_V2_Weights.COCO_V1.url
    assert [weights.sha256_prefix for weights in PUBLISHED.values()] == ["eeacb38b", "5905b1c5"]


def test_whole_file_then_the_cache(server: Server, tmp_path: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    path = get(server, tmp_path / "new" / "cache", progress=lambda done, size: seen.append((done, size)))
    assert path.read_bytes() == CONTENT
    assert left_over(path.parent) == [path.name]
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert get(server, path.parent) == path
    assert len(server.requests) == 1


def test_a_wrong_file_in_the_cache_is_replaced(server: Server, tmp_path: Path) -> None:
    (tmp_path / server.url.rsplit("/", 1)[1]).write_bytes(b"spoiled")
    assert get(server, tmp_path).read_bytes() == CONTENT


def test_goes_on_where_the_connection_broke(server: Server, tmp_path: Path) -> None:
    server.cut_after = [300_000]
    assert get(server, tmp_path).read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=300000-"]


def test_progress_made_resets_the_count_of_failures(server: Server, tmp_path: Path) -> None:
    server.cut_after = [100_000] * 5
    assert get(server, tmp_path, tries=2).read_bytes() == CONTENT


def test_a_later_call_goes_on_too(server: Server, tmp_path: Path) -> None:
    server.cut_after = [200_000]
    with pytest.raises(ModelError, match=r"200,000 of 600,000.*200,000 bytes received are kept"):
        get(server, tmp_path, tries=1)
    assert left_over(tmp_path) == [f"net-{SHA256[:8]}.pth.part", f"net-{SHA256[:8]}.pth.part.etag"]
    assert get(server, tmp_path).read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=200000-"]
    assert left_over(tmp_path) == [f"net-{SHA256[:8]}.pth"]


def test_a_file_changed_meanwhile_is_not_mixed(server: Server, tmp_path: Path) -> None:
    (tmp_path / f"net-{SHA256[:8]}.pth.part").write_bytes(b"x" * 1000)
    (tmp_path / f"net-{SHA256[:8]}.pth.part.etag").write_text('"v0"')
    assert get(server, tmp_path).read_bytes() == CONTENT
    assert server.ranges == ["bytes=1000-"]


def test_server_without_ranges_starts_anew(server: Server, tmp_path: Path) -> None:
    server.ignores_range, server.cut_after = True, [300_000]
    assert get(server, tmp_path).read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=300000-"]


def test_server_without_ranges_that_always_breaks_is_given_up(server: Server, tmp_path: Path) -> None:
    server.ignores_range, server.cut_after = True, [300_000] * 50
    with pytest.raises(ModelError, match="broke after 300,000"):
        get(server, tmp_path, tries=3)
    assert len(server.requests) == 3


@pytest.mark.parametrize("surplus", [b"", b"more"])
def test_a_part_that_was_complete_or_too_long(server: Server, tmp_path: Path, surplus: bytes) -> None:
    (tmp_path / f"net-{SHA256[:8]}.pth.part").write_bytes(CONTENT + surplus)
    assert get(server, tmp_path).read_bytes() == CONTENT
    assert len(server.requests) == (2 if surplus else 1)


def test_wrong_hash_leaves_nothing(server: Server, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"expected 00000000.*deleted"):
        get(server, tmp_path, sha256_prefix="00000000")
    assert left_over(tmp_path) == []


def test_missing_file_is_final(server: Server, tmp_path: Path) -> None:
    server.statuses = [404]
    with pytest.raises(ModelError, match=r"cannot fetch .*404.*--model PATH/net-"):
        get(server, tmp_path)
    assert len(server.requests) == 1


def test_server_error_is_tried_again(server: Server, tmp_path: Path) -> None:
    server.statuses = [500, 503, 200]
    assert get(server, tmp_path).read_bytes() == CONTENT
    assert len(server.requests) == 3


def test_stalled_server(server: Server, tmp_path: Path) -> None:
    server.cut_after, server.stall_s = [1000, 1000], 20.0
    began = time.monotonic()
    with pytest.raises(ModelError, match=r"did not answer for 0\.2 s; the 1,000 bytes"):
        get(server, tmp_path, timeout_s=0.2, tries=1)
    assert get(server, tmp_path, timeout_s=0.2).read_bytes() == CONTENT
    assert time.monotonic() - began < 10
    assert server.ranges == [None, "bytes=1000-", "bytes=2000-"]


def test_nobody_there(server: Server, tmp_path: Path) -> None:
    server.server_close()
    with pytest.raises(ModelError) as caught:
        get(server, tmp_path)
    assert str(caught.value) == (
        f"cannot fetch the weights {server.url}: Connection refused. Without a network, download that address "
        f"elsewhere and give the file: --model PATH/net-{SHA256[:8]}.pth"
    )
    assert left_over(tmp_path) == []


def test_redirect_is_followed(server: Server, tmp_path: Path) -> None:
    moved = server.url.split("/models/")[0] + "/moved.pth"
    path = fetch(moved, sha256_prefix=SHA256[:8], cache_dir=tmp_path)
    assert path.name == "moved.pth"
    assert path.read_bytes() == CONTENT


def test_two_at_once_download_once(server: Server, tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        paths = list(pool.map(lambda _: get(server, tmp_path), range(4)))
    assert {path.read_bytes() for path in paths} == {CONTENT}
    assert len(server.requests) == 1


def test_cache_that_cannot_be_made(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ModelError, match=r"cannot store .* in the cache .*STREAMDET_CACHE"):
        get(server, tmp_path / "file" / "cache")


def test_default_cache_dir(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("STREAMDET_CACHE", str(tmp_path))
    assert default_cache_dir() == tmp_path
    monkeypatch.delenv("STREAMDET_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert default_cache_dir().name == "streamdet"


class RunsCode:
    """What an attacker puts into a weights file: unpickling it makes a folder."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.trace),)


@pytest.mark.parametrize("form", ["zip", "legacy", "pickle protocol 2", "pickle protocol 5"])
def test_a_file_with_code_is_refused_and_not_run(tmp_path: Path, form: str) -> None:
    path, trace = tmp_path / "evil.pth", tmp_path / "the code ran"
    content = {"weight": torch.zeros(2), "extra": RunsCode(trace)}
    if form.startswith("pickle"):
        path.write_bytes(pickle.dumps(content["extra"], protocol=int(form[-1])))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=form == "zip")
    with pytest.raises(ModelError, match=r"contains code or objects .* was not loaded.*safetensors"):
        load_torch_file(path)
    assert not trace.exists()
    if form == "zip":  # the trap is a real one
        torch.load(path, weights_only=False)
        assert trace.exists()


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("zipped", [False, True])
def test_state_dict_is_read(tmp_path: Path, wrapped: bool, zipped: bool) -> None:
    state = torch.nn.Conv2d(2, 3, 1).state_dict()
    torch.save(
        {"model": state, "epoch": 3} if wrapped else state, tmp_path / "a.pth", _use_new_zipfile_serialization=zipped
    )
    loaded = load_torch_file(tmp_path / "a.pth")
    assert loaded.keys() == state.keys()
    assert all(torch.equal(loaded[name], state[name]) for name in state)


def test_other_files_are_refused_in_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    with pytest.raises(ModelError, match="No such file"):
        load_torch_file(path)
    torch.save({"weight": torch.zeros(1000)}, path)
    for content in (b"", b"hello world" * 100, path.read_bytes()[:2000]):
        (tmp_path / "b.pth").write_bytes(content)
        with pytest.raises(ModelError, match="damaged or no PyTorch weights file"):
            load_torch_file(tmp_path / "b.pth")
    torch.save(torch.zeros(2), path)
    with pytest.raises(ModelError, match="holds a Tensor"):
        load_torch_file(path)
    torch.save({"weight": 3}, path)
    with pytest.raises(ModelError, match="'weight' is a int"):
        load_torch_file(path)
