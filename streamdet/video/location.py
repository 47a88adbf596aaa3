"""Where pictures come from: a file, a folder, a camera, a pipe or an address; what of it may be shown, and what not."""

from __future__ import annotations

import os
import re
import stat
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from streamdet.errors import UsageError
from streamdet.video.address import MASK, Address, escaped, masked_tail, secrets_of, split_address, unescaped
from streamdet.video.base import printable
from streamdet.video.credentials import Secret, from_netrc

Kind = Literal["file", "folder", "camera", "pipe", "stdin", "url"]

SCHEMES = ("rtsp", "rtsps", "rtmp", "rtmps", "http", "https", "udp", "tcp", "srt", "rtp")
_WITH_LOGIN = ("rtsp", "rtsps", "rtmp", "rtmps", "http", "https")
"""Schemes whose servers ask for a user name and a password."""
_URL = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<rest>.*)", re.DOTALL)
_FORGOTTEN_SCHEME = re.compile(r"[^\s/@:]+:[^@]+@.+|(?:rtsps?|rtmps?|https?|udp|tcp|srt|rtp):.*", re.DOTALL | re.I)
_PLAIN = "!$&'()*+,;="
"""Besides letters and digits, what may stand in a user name or password as it is."""
_RTSP_LOGIN_BYTES = 128
"""FFmpeg's room for `user:password` and its end; it cuts off what is longer without a word."""
_CAMERA_PATH = re.compile(r"/dev/(?:video[0-9]+|v4l/.+)")
_V4L_MAJOR = 81


@dataclass(frozen=True, slots=True)
class Location:
    """A place that pictures come from. Printing it, or anything of it but `target()` and `secrets()`, is safe."""

    kind: Kind
    """`pipe` is a FIFO or a device that is no camera."""
    scheme: str
    """Of an address, in lower case: rtsp, http, ...; empty for the others."""
    name: str
    """Printable, one line; never holds a user name, a password or a token."""
    _target: Secret = field(repr=False)
    _secrets: tuple[Secret, ...] = field(default=(), repr=False)

    @property
    def is_live(self) -> bool:
        """True when its pictures come at their own pace: all but files and folders."""
        return self.kind not in ("file", "folder")

    @property
    def path(self) -> Path | None:
        """The path of a file, folder, pipe or camera device; None for the others."""
        if self.kind in ("url", "stdin"):
            return None
        return Path(self._target.reveal().removeprefix("file:"))

    def target(self) -> str:
        """What FFmpeg opens, with the credentials percent-encoded: never to be shown."""
        return self._target.reveal()

    def secrets(self) -> tuple[str, ...]:
        """Password and tokens in plain text, to be taken out of whatever is shown: never to be shown."""
        return tuple(secret.reveal() for secret in self._secrets)


def parse_location(
    text: str, *, user: str | None = None, password: str | None = None, netrc: Path | None = None
) -> Location:
    """What a user means by the name of a source.

    A name that exists on disk is a file, folder or pipe, whatever it looks like. `-` is standard input. A password
    may be typed raw, whatever it holds: see `streamdet.video.address`.

    Args:
        text: the name as typed.
        user: user name for an address that has none.
        password: password for an address that has none, as it is (not percent-encoded).
        netrc: file to look the host up in when neither the address nor `password` has one.

    Raises:
        UsageError: the name makes no sense, or the netrc file can't be read.
    """
    if not text:
        raise UsageError("the source is an empty text: give a file, a folder, a camera such as 0, or an address")
    if text == "-":
        return Location("stdin", "", "-", Secret("pipe:0"))
    url = _URL.fullmatch(text)
    if url and url["scheme"].lower() == "file":
        return _on_disk(url["rest"])
    if os.path.lexists(text) or _CAMERA_PATH.fullmatch(text):
        return _on_disk(text)
    if text.isascii() and text.isdecimal():
        return Location("camera", "", f"camera {int(text)}", Secret(_camera_device(int(text))))
    if url:
        return _address_location(url["scheme"].lower(), url["rest"], user, password, netrc)
    if _FORGOTTEN_SCHEME.fullmatch(text):
        # may hold a password, so that nothing of it is quoted
        raise UsageError("the source looks like an address without its beginning: write rtsp://, http:// or the like")
    return _on_disk(text)


def _on_disk(text: str) -> Location:
    kind: Kind = "file"
    try:
        status = os.stat(text)  # noqa: PTH116 - Path would drop a trailing slash and ./
    except (OSError, ValueError):
        kind = "camera" if _CAMERA_PATH.fullmatch(text) else "file"
    else:
        if stat.S_ISDIR(status.st_mode):
            kind = "folder"
        elif stat.S_ISCHR(status.st_mode) and os.major(status.st_rdev) == _V4L_MAJOR:
            kind = "camera"
        elif stat.S_ISFIFO(status.st_mode) or stat.S_ISCHR(status.st_mode):
            kind = "pipe"
    # the prefix keeps FFmpeg from taking a name like `12:30.mp4` for a protocol
    return Location(kind, "", printable(text), Secret(text if kind == "camera" else f"file:{text}"))


def _camera_device(index: int) -> str:
    return f"/dev/video{index}" if sys.platform == "linux" else str(index)


def _address_location(scheme: str, rest: str, user: str | None, password: str | None, netrc: Path | None) -> Location:
    if scheme not in SCHEMES:
        known = ", ".join(f"{name}://" for name in SCHEMES)
        raise UsageError(f"addresses that begin with {scheme}:// can't be read: give one of {known}, or a file")
    address = split_address(rest)
    if address is None:
        raise UsageError(
            f"no host can be made out in the address {scheme}://{MASK}: write {scheme}://HOST:PORT/PATH, and the user "
            "name and password in percent escapes or in the environment"
        )
    login = _login(scheme, address, user, password, netrc)
    shown = masked_tail(address.tail, scheme=scheme, doubtful=address.doubtful)
    name = printable(f"{scheme}://{address.place}{shown}")
    credentials = "" if login is None else _userinfo(scheme, *login, name)
    # line ends would add lines to what is sent to the server
    tail = re.sub(r"[^!-~\u00a0-\U0010ffff]", lambda found: escaped(found[0]), address.tail)
    secrets = [*secrets_of(rest, address, scheme), *(() if login is None else login[1:])]
    return Location(
        kind="url",
        scheme=scheme,
        name=name,
        _target=Secret(f"{scheme}://{credentials}{address.place}{tail}"),
        _secrets=tuple(Secret(text) for text in dict.fromkeys(secrets) if text),
    )


def _login(
    scheme: str, address: Address, user: str | None, password: str | None, netrc: Path | None
) -> tuple[str, str] | None:
    """User name and password: the address's own, then those given, then the netrc file's."""
    own_user = None if address.user is None else unescaped(address.user)
    if address.password is not None:
        return own_user or "", unescaped(address.password)
    if scheme in _WITH_LOGIN:
        if password is not None and (own_user is None or user is None or own_user == user):
            return own_user or user or "", password
        found = None if netrc is None else from_netrc(netrc, address.host.strip("[]"), user=own_user or user)
        if found is not None:
            return found
        own_user = own_user or user
    return None if own_user is None else (own_user, "")


def _userinfo(scheme: str, user: str, password: str, name: str) -> str:
    """`user:password@` as FFmpeg takes it for a scheme."""
    if scheme in ("rtmp", "rtmps"):
        # FFmpeg sends these as they stand, escapes too
        if re.search(r"[/?#\x00-\x20]", user + password) or ":" in user:
            raise UsageError(
                f"the user name or password of {name} holds / ? # or a space, which can't be sent over RTMP: "
                "change it, or take another protocol of that camera"
            )
        return f"{user}:{password}@"
    text = f"{escaped(user, safe=_PLAIN)}:{escaped(password, safe=_PLAIN)}@"
    if scheme in ("rtsp", "rtsps") and len(text) > _RTSP_LOGIN_BYTES:
        raise UsageError(
            f"the user name and password of {name} are longer than the {_RTSP_LOGIN_BYTES - 1} bytes "
            "(percent-encoded) that can be sent over RTSP: give that camera a shorter password"
        )
    return text
