"""Why a live source can't be opened or broke off: one plain sentence with the next step, and a word for the kind.

FFmpeg's errors can't be shown. They often lie (a timeout is "invalid data"), and their text holds the address with
the password. So they are classified here, and where FFmpeg's error doesn't tell, the host is asked: is its name known,
is the port open, does it speak TLS.
"""

from __future__ import annotations

import errno
import socket
import ssl
from contextlib import suppress
from enum import StrEnum
from typing import NamedTuple
from urllib.parse import urlsplit

import av.error

from streamdet.errors import SourceError
from streamdet.video.live import stalls
from streamdet.video.live.stalls import Stall
from streamdet.video.location import Location


class Kind(StrEnum):
    """Kinds of failure; `SourceStatus.kind` and the receipt show these words."""

    HOST_UNKNOWN = "host unknown"
    REFUSED = "refused"
    NO_ROUTE = "no route"
    UNAUTHORIZED = "401"
    FORBIDDEN = "403"
    NOT_FOUND = "404"
    REJECTED = "request rejected"
    SERVER_ERROR = "server error"
    TLS = "TLS"
    TIMEOUT = "timeout"
    HALF_OPEN = "half-open"
    CODEC = "codec unsupported"
    NOT_A_STREAM = "not a stream"
    NO_CAMERA = "no such camera"
    BUSY = "camera busy"
    NOT_ALLOWED = "not allowed"
    CLOSED = "closed"
    MISSING = "not there"
    UNEXPECTED = "unexpected"


PROBE_S = 2.0
"""How long the host is asked for the reason of a failure."""
PORTS = {"rtsp": 554, "rtsps": 322, "rtmp": 1935, "rtmps": 443, "http": 80, "https": 443}
ENCRYPTED = ("rtsps", "rtmps", "https")
_TCP = (*PORTS, "tcp")

_OF_ERRNO = {
    errno.ECONNREFUSED: Kind.REFUSED,
    errno.EHOSTUNREACH: Kind.NO_ROUTE,
    errno.ENETUNREACH: Kind.NO_ROUTE,
    errno.EHOSTDOWN: Kind.NO_ROUTE,
    errno.ECONNRESET: Kind.CLOSED,
    errno.EPIPE: Kind.CLOSED,
    errno.EBUSY: Kind.BUSY,
    errno.EACCES: Kind.NOT_ALLOWED,
    errno.EPERM: Kind.NOT_ALLOWED,
    errno.ENODEV: Kind.NO_CAMERA,
    errno.ENXIO: Kind.NO_CAMERA,
}
_OF_ANSWER = (
    (av.error.HTTPUnauthorizedError, Kind.UNAUTHORIZED),
    (av.error.HTTPForbiddenError, Kind.FORBIDDEN),
    (av.error.HTTPNotFoundError, Kind.NOT_FOUND),
    (av.error.HTTPClientError, Kind.REJECTED),
    (av.error.HTTPServerError, Kind.SERVER_ERROR),
    (av.error.DecoderNotFoundError, Kind.CODEC),
)


class SourceGoneError(SourceError):
    """A live source can't be opened, or broke off; a later attempt may succeed."""

    def __init__(self, kind: str, sentence: str) -> None:
        """`sentence` is for the user and must not hold a password."""
        super().__init__(sentence)
        self.kind = str(kind)


class Place(NamedTuple):
    """Where a server listens."""

    host: str
    port: int
    encrypted: bool


def open_failure(location: Location, error: Exception, *, waited_s: float, timeout_s: float) -> SourceGoneError:
    """Why opening failed. May ask the host, which takes up to about `PROBE_S`.

    Raise the result outside of the `except` that caught `error`: that one's text may hold the password.

    Args:
        location: what was to be opened.
        error: what PyAV or the system raised.
        waited_s: how long the attempt took.
        timeout_s: the time that it was given.
    """
    return failure(location, _kind_of(location, error, waited_s >= 0.9 * timeout_s), timeout_s=timeout_s)


def read_failure(location: Location, error: Exception | None) -> SourceGoneError:
    """Why reading broke off; None stands for the end of the stream."""
    code = getattr(error, "errno", None) or 0
    kind = Kind.TIMEOUT if code == errno.ETIMEDOUT else _OF_ERRNO.get(code, Kind.CLOSED)
    return failure(location, kind if kind in (Kind.NO_ROUTE, Kind.NO_CAMERA, Kind.TIMEOUT) else Kind.CLOSED)


def failure(location: Location, kind: Kind, *, timeout_s: float = 0.0, detail: str = "") -> SourceGoneError:
    """The error for a kind of failure, in words that fit the location."""
    return SourceGoneError(kind, _sentence(location, kind, timeout_s, detail))


def stalled(location: Location, stall: Stall) -> SourceGoneError:
    """The error for a connection that is open and gives nothing of use."""
    name, lasted = location.name, f"for {stall.lasted_s:.0f} s"
    match stall.kind:
        case stalls.NO_PACKETS:
            sentence = f"{name} has sent nothing {lasted}, with the connection open: check the camera and its network"
        case stalls.TIMES_STAND_STILL:
            sentence = f"all pictures of {name} {lasted} have carried the same time: restart the camera"
        case stalls.FROZEN_PICTURE:
            sentence = f"the picture of {name} has not changed {lasted}: restart the camera if the scene isn't still"
        case _:
            sentence = (
                f"nothing undamaged has come from {name} {lasted}: check the network, take tcp instead of udp, "
                "or lower the camera's bit rate"
            )
    return SourceGoneError(stall.kind, sentence)


def unexpected(location: Location, error: BaseException) -> SourceGoneError:
    """For an error that nobody thought of: its type and place, not its text, which may hold anything."""
    trace, place = error.__traceback__, ""
    while trace is not None:
        place = f"{trace.tb_frame.f_code.co_filename.rpartition('/')[2]}:{trace.tb_lineno}"
        trace = trace.tb_next
    return failure(location, Kind.UNEXPECTED, detail=f"{type(error).__name__} in {place or 'C code'}")


def place_of(location: Location) -> Place | None:
    """Host and port of a location that is reached by TCP; None for the others."""
    if location.scheme not in _TCP:
        return None
    with suppress(ValueError):
        address = urlsplit(location.target())
        port = address.port or PORTS.get(location.scheme)
        if address.hostname and port:
            return Place(address.hostname, port, location.scheme in ENCRYPTED)
    return None


def ask(place: Place) -> Kind | None:
    """Why `place` can't be reached, or None when its port is open (and speaks TLS, where it should)."""
    try:
        with socket.create_connection((place.host, place.port), timeout=PROBE_S) as connection:
            if not place.encrypted:
                return None
            context = ssl.create_default_context()
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            with context.wrap_socket(connection, server_hostname=place.host):
                return None
    except (socket.gaierror, UnicodeError):
        return Kind.HOST_UNKNOWN
    except TimeoutError:
        return Kind.TIMEOUT
    except ssl.SSLError:
        return Kind.TLS
    except OSError as error:
        kind = _OF_ERRNO.get(error.errno or 0)
        return Kind.TLS if place.encrypted and kind in (None, Kind.CLOSED) else kind


def _kind_of(location: Location, error: Exception, timed_out: bool) -> Kind:
    code = getattr(error, "errno", None) or 0
    if location.kind == "camera":
        return _OF_ERRNO.get(
            code, Kind.NO_CAMERA if code == errno.ENOENT else Kind.TIMEOUT if timed_out else Kind.NOT_A_STREAM
        )
    for answer, kind in _OF_ANSWER:
        if isinstance(error, answer):
            return kind
    timed_out = timed_out or code == errno.ETIMEDOUT
    of_errno = _OF_ERRNO.get(code)
    if of_errno in (Kind.REFUSED, Kind.NO_ROUTE, Kind.NOT_ALLOWED):
        return of_errno
    if code == errno.ENOENT:
        return Kind.MISSING
    place = place_of(location)
    if place is not None and (asked := ask(place)) is not None:
        # a port that is open and silent in the handshake, too, is half-open rather than far away
        silent = asked == Kind.TIMEOUT and place.encrypted and ask(place._replace(encrypted=False)) is None
        return Kind.HALF_OPEN if silent else asked
    if timed_out:
        return Kind.HALF_OPEN if place is not None else Kind.TIMEOUT
    closed = isinstance(error, av.error.EOFError | av.error.OSError) or of_errno == Kind.CLOSED
    return Kind.CLOSED if closed and place is not None else Kind.NOT_A_STREAM


def _sentence(location: Location, kind: Kind, timeout_s: float, detail: str) -> str:
    name, place = location.name, place_of(location)
    within = f" within {timeout_s:g} s" if timeout_s else ""
    match kind:
        case Kind.HOST_UNKNOWN:
            return f"the host of {name} is unknown: check its spelling, and that this machine can look up names (DNS)"
        case Kind.REFUSED:
            port = f"port {place.port}" if place else "its port"
            return f"{name} refuses the connection: check that the camera is on, and that {port} is the right one"
        case Kind.NO_ROUTE:
            return (
                f"there is no way to {name}: check that it is on, and that this machine is in a network that reaches it"
            )
        case Kind.UNAUTHORIZED if location.secrets():
            return f"{name} refuses the user name or the password (401): check both, and log in once by a browser"
        case Kind.UNAUTHORIZED:
            return (
                f"{name} asks for a user name and a password (401): "
                "set STREAMDET_USER and STREAMDET_PASSWORD, or use --netrc"
            )
        case Kind.FORBIDDEN:
            return f"{name} forbids access (403): give this user the right to see the stream, or use another user"
        case Kind.NOT_FOUND:
            return f"{name} is not known there (404): check the path behind the host; the camera's manual tells it"
        case Kind.REJECTED:
            return f"{name} rejects the request: check the path and the transport (tcp or udp) against its manual"
        case Kind.SERVER_ERROR:
            return f"{name} answers with an error of its own (5xx): restart the camera or server"
        case Kind.TLS:
            return (
                f"no encrypted connection with {name} comes about: check the port, and whether it speaks TLS; "
                f"{location.scheme.removesuffix('s')}:// is the way without"
            )
        case Kind.TIMEOUT if location.kind == "camera":
            return f"{name} gives no picture{within}: unplug it and plug it in again"
        case Kind.TIMEOUT if location.scheme in ("udp", "rtp"):
            return f"nothing arrives at {name}{within}: check that the sender is on and sends to this address and port"
        case Kind.TIMEOUT:
            return f"{name} doesn't answer{within}: check that it is on, and that no firewall is in between"
        case Kind.HALF_OPEN:
            return f"{name} accepts the connection and then says nothing{within}: restart it, and check the port"
        case Kind.CODEC:
            return f"the pictures of {name} are in a codec that can't be decoded here: set the camera to H.264 or H.265"
        case Kind.NO_CAMERA:
            return f"there is no {_camera(location)}: check that it is plugged in{detail}"
        case Kind.BUSY:
            return f"{_camera(location)} is in use: close the program that uses it"
        case Kind.NOT_ALLOWED if location.kind == "camera":
            return f"{_camera(location)} may not be used by this user: add it to the group of cameras (usually video)"
        case Kind.NOT_ALLOWED:
            return f"{name} may not be read by this user: change its permissions"
        case Kind.MISSING:
            return f"there is no {name}: check the path"
        case Kind.CLOSED if place is None:
            return f"{name} broke off: check what writes it; an mp4 must have its index at its beginning (faststart)"
        case Kind.CLOSED:
            return f"{name} closed the connection: check that the camera is on and not at its limit of viewers"
        case Kind.UNEXPECTED:
            return f"{name} broke off for a reason that is not known ({detail}); please report it"
        case _:
            what = detail or "what it sends is not video that can be read"
            return f"no picture from {name}: {what}; check the address, and play it in another player"


def _camera(location: Location) -> str:
    return location.name if location.name.startswith("camera") else f"camera {location.name}"
