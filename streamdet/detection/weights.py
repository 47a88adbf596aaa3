"""Weights that others published: fetched once into a cache, resumed after a break, hash checked, never unpickled.

A download grows in NAME.part, is checked against the hash in its name and only then renamed, so that the cache never
holds half a file. One process at a time fetches a file; others wait for it.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import re
import socket
import time
import warnings
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import torch
from filelock import FileLock
from platformdirs import user_cache_path

from streamdet import __version__
from streamdet.errors import ModelError

Progress = Callable[[int, int | None], None]
"""Called with the bytes there so far and the size of the file (None: not known yet)."""

_CHUNK_BYTES = 1 << 18
_TRANSIENT_STATUS = (408, 425, 429, 500, 502, 503, 504)


@dataclass(frozen=True)
class PublishedWeights:
    """A weights file on its publisher's server; its name ends in a dash and the first digits of its sha256."""

    url: str

    @property
    def sha256_prefix(self) -> str:
        """First 8 hexadecimal digits of the file's hash."""
        return self.url.removesuffix(".pth").rsplit("-", 1)[1]


PUBLISHED = {
    "coco-r50": PublishedWeights("https://download.pytorch.org/models/retinanet_resnet50_fpn_coco-eeacb38b.pth"),
    "coco-r50-v2": PublishedWeights("https://download.pytorch.org/models/retinanet_resnet50_fpn_v2_coco-5905b1c5.pth"),
}
"""torchvision's own detectors, by our name for them."""


class _TryAgainError(Exception):
    """The connection failed in a way that another try may mend."""


def default_cache_dir() -> Path:
    """`$STREAMDET_CACHE`, or the platform's place for caches (`~/.cache/streamdet` on Linux)."""
    chosen = os.environ.get("STREAMDET_CACHE")
    return Path(chosen).expanduser() if chosen else user_cache_path("streamdet", appauthor=False)


def fetch(
    url: str,
    *,
    sha256_prefix: str,
    cache_dir: Path,
    progress: Progress | None = None,
    timeout_s: float = 30.0,
    tries: int = 4,
    backoff_s: float = 1.0,
) -> Path:
    """Path of the file at `url` in `cache_dir`, downloaded unless it is there with the right hash.

    `timeout_s` limits the wait for each answer, not the whole download. After `tries` failures in a row without a
    new byte it gives up, waiting `backoff_s`, twice that, ... in between. What was received stays for the next call.

    Raises:
        ModelError: no network, the server refuses, the content has another hash, or the cache can't be written.
    """
    download = _Download(url, cache_dir / url.rsplit("/", 1)[1], sha256_prefix, progress, timeout_s)
    try:
        cache_dir.mkdir(parents=True, exist_ok=True)
        with FileLock(download.target.with_name(download.target.name + ".lock")):
            if not download.is_cached():
                download.receive_all(tries, backoff_s)
                download.keep_if_right()
    except OSError as error:  # network errors were dealt with on the way: this one is the disk's
        raise ModelError(
            f"cannot store {url} in the cache {cache_dir}: {error.strerror or error}; "
            "make room, or set STREAMDET_CACHE to a folder that can be written"
        ) from error
    return download.target


@dataclass
class _Download:
    url: str
    target: Path
    sha256_prefix: str
    progress: Progress | None
    timeout_s: float
    _answered: bool = False

    @property
    def part(self) -> Path:
        return self.target.with_name(self.target.name + ".part")

    @property
    def etag_file(self) -> Path:
        """Says of which version of the file `part` is the beginning, so that two are never mixed."""
        return self.target.with_name(self.target.name + ".part.etag")

    def is_cached(self) -> bool:
        """True when the target is there and right; a wrong one is removed."""
        if not self.target.is_file():
            return False
        if _sha256(self.target).startswith(self.sha256_prefix):
            return True
        self.target.unlink()
        return False

    def keep_if_right(self) -> None:
        """Give the finished part its final name, or delete it when its hash is wrong."""
        found = _sha256(self.part)
        self.etag_file.unlink(missing_ok=True)
        if not found.startswith(self.sha256_prefix):
            self.part.unlink()
            raise ModelError(
                f"the download of {self.url} has sha256 {found[:16]}..., expected {self.sha256_prefix}...; it was "
                "deleted: something on the way changes the file, so try another network or give the path of a good copy"
            )
        self.part.replace(self.target)

    def receive_all(self, tries: int, backoff_s: float) -> None:
        """Fill the part file up to the server's size, over as many connections as it takes."""
        failures = 0
        furthest = self._received()
        while True:
            try:
                self._receive()
                return
            except _TryAgainError as error:
                # Only new bytes count as progress: a server that always breaks at the same place must not loop.
                failures = 1 if self._received() > furthest else failures + 1
                furthest = max(furthest, self._received())
                if failures >= tries:
                    raise self._failed(str(error)) from error
                time.sleep(backoff_s * 2 ** (failures - 1))

    def _receive(self) -> None:
        """One connection, from where the part file ends; returns when the file is whole."""
        offset = self._received()
        response = self._open(offset)
        if response is None:
            return
        self._answered = True
        with response:
            size = self._save(response, offset)
        if size is not None and self._received() < size:
            raise _TryAgainError(f"the connection broke after {self._received():,} of {size:,} bytes")

    def _open(self, offset: int) -> HTTPResponse | None:
        """The server's answer from `offset` on; None when there is nothing left to send."""
        request = Request(self.url, headers={"User-Agent": f"streamdet/{__version__}"})
        if offset:
            request.add_header("Range", f"bytes={offset}-")
            if self.etag_file.is_file():
                request.add_header("If-Range", self.etag_file.read_text(encoding="ascii"))
        try:
            response: HTTPResponse = urlopen(request, timeout=self.timeout_s)
        except HTTPError as error:
            error.close()
            if error.code == 416:
                if error.headers.get("Content-Range") == f"bytes */{offset}":
                    return None  # killed between the last byte and the renaming
                self.part.unlink()
                raise _TryAgainError("the server does not know the part that was received") from error
            reason = f"the server answered {error.code} {error.reason}"
            if error.code in _TRANSIENT_STATUS:
                raise _TryAgainError(reason) from error
            raise self._failed(reason) from error
        except (OSError, HTTPException) as error:
            raise self._broken(error) from error
        return response

    def _save(self, response: HTTPResponse, offset: int) -> int | None:
        """Append the answer to the part file (from 0 when the server sends it all); returns the file's size."""
        if response.status == 206:
            part = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
            if not part or int(part[1]) != offset:
                self.part.unlink()
                raise _TryAgainError("the server sent another part than the one asked for")
            mode, size = "ab", None if part[2] == "*" else int(part[2])
        else:
            mode, offset, size = "wb", 0, response.length
        with self.part.open(mode) as file:
            if mode == "wb":
                self._remember(response.headers.get("ETag", ""))
            for chunk in self._chunks(response):
                file.write(chunk)
                offset += len(chunk)
                if self.progress:
                    self.progress(offset, size)
        return size

    def _remember(self, etag: str) -> None:
        if etag.startswith('"'):  # a weak one (W/"...") can't guard a range
            self.etag_file.write_text(etag, encoding="ascii")
        else:
            self.etag_file.unlink(missing_ok=True)

    def _chunks(self, response: HTTPResponse) -> Iterator[bytes]:
        try:
            # read1, not read: when the line stalls, what has come is kept.
            while chunk := response.read1(_CHUNK_BYTES):
                yield chunk
        except (OSError, HTTPException) as error:
            raise self._broken(error) from error

    def _received(self) -> int:
        return self.part.stat().st_size if self.part.is_file() else 0

    def _broken(self, error: Exception) -> Exception:
        """The error to raise for a failed connection: final where the network was never there."""
        cause = error.reason if isinstance(error, URLError) else error
        reason = str(getattr(cause, "strerror", None) or cause or type(cause).__name__)
        if isinstance(cause, TimeoutError):
            return _TryAgainError(f"the server did not answer for {self.timeout_s:g} s")
        if self._answered or isinstance(cause, (ConnectionResetError, ConnectionAbortedError, HTTPException)):
            return _TryAgainError(f"the connection broke ({reason})")
        if isinstance(cause, socket.gaierror):
            reason = f"no network, or no such host ({reason})"
        return self._failed(reason)

    def _failed(self, reason: str) -> ModelError:
        kept = f"; the {self._received():,} bytes received are kept and the next try goes on there"
        return ModelError(
            f"cannot fetch the weights {self.url}: {reason}{kept if self._received() else ''}. "
            f"Without a network, download that address elsewhere and give the file: --model PATH/{self.target.name}"
        )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def load_torch_file(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a PyTorch weights file (`.pth`, `.pt`), on the CPU, without running anything that is in it.

    Both a bare state dict and a training checkpoint that holds one under "model" or "state_dict" are taken.

    Raises:
        ModelError: the file is missing, damaged, or not only tensors: one that contains code is never loaded.
    """
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Detected pickle protocol")  # refused below, in our words
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except OSError as error:
        raise ModelError(f"cannot read the weights {path}: {error.strerror or error}") from error
    except pickle.UnpicklingError as error:
        # Named by torch, or (newer pickle protocols) an instruction that plain tensors don't need.
        culprit = re.search(r"unsupported (?:global: )?GLOBAL ([\w.]+)|unsupported (operand \d+)", str(error), re.I)
        if not culprit:
            raise ModelError(f"{path} is damaged or no PyTorch weights file; get it anew") from error
        raise ModelError(
            f"{path} contains code or objects ({culprit[1] or culprit[2]}) and was not loaded, because loading would "
            "run them; where you trust its origin, convert its state dict to safetensors and give that file"
        ) from error
    except (RuntimeError, EOFError, ValueError, KeyError) as error:
        raise ModelError(f"{path} is damaged or no PyTorch weights file; get it anew") from error
    for key in ("model", "state_dict"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict) or not content:
        raise ModelError(f"{path} holds a {type(content).__name__}, expected a state dict of tensors")
    for name, value in content.items():
        if not isinstance(name, str) or not isinstance(value, torch.Tensor):
            raise ModelError(f"{path}: {name!r} is a {type(value).__name__}, expected a state dict of tensors")
    return dict(content)
