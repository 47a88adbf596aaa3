"""Takes addresses of cameras apart: credentials that were typed raw, the host, and the rest that may hold tokens.

Where the credentials end. Passwords hold `@ / : ? #`, and people type them as they are, so that the rule of RFC 3986
(the last `@` before the first `/`) cuts them in two. Instead, every `@` is looked at that is followed by something
like `host`, `host:port` and then by `/`, `?`, `#` or the end, and is preceded by a user name without `/ ? #`:
the one with the most certain host is taken (an IP address, `localhost` or a usual port; then a dotted name or any
port; then a bare name), of equals the last. An address counts as having no credentials when no `@` qualifies,
or when it begins with an IP address or `localhost`, or with a usual port while every `@` leads to a bare name. Who
needs another reading writes the `@` of a path as `%40`, or the password in percent escapes or in the environment.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from urllib.parse import quote, unquote

MASK = "***"
USUAL_PORTS = frozenset(
    {
        80,
        81,
        88,
        322,
        443,
        554,
        1234,
        1935,
        1936,
        5000,
        5004,
        7070,
        8000,
        8080,
        8081,
        8322,
        8443,
        8554,
        8888,
        9000,
        9710,
    }
)

_HOST = r"\[[0-9A-Za-z:.%_-]+\]|\w(?:[\w.-]*[\w.])?"
_PLACE = re.compile(rf"(?P<host>{_HOST})?(?::(?P<port>[0-9]{{1,5}}))?(?=[/?#]|$)")
_PLACE_IN_TEXT = re.compile(rf"(?P<host>{_HOST})?(?::(?P<port>[0-9]{{1,5}}))?(?=[/?#]|[^\w@%:-]|[.:](?:\W|$)|$)")
_ESCAPES = re.compile(r"(?:[^%]|%[0-9A-Fa-f]{2})*", re.DOTALL)
_QUERY_AFTER_HOST = re.compile(rf"@(?:{_HOST})(?::[0-9]+)?(?:/[^?@\s\"']*)?\?[A-Za-z][\w.-]*=[\w.+%&=;~-]+", re.ASCII)

# Values that tell two streams of one recorder apart and are no secrets, such as `channel=1&subtype=0`.
_PLAIN_KEY = re.compile(
    r"(?:channel|chn?|camera|cam|subtype|stream|profile|resolution|fps|trackid|unicast|proto|mode)", re.I
)
_PLAIN_VALUE = re.compile(r"[0-9]{1,4}(?:x[0-9]{1,4})?|onvif|unicast|multicast|tcp|udp|main|sub|caller|listener", re.I)
_SECRET_KEY = (
    r"(?:user(?:name)?|usr|login|password|passwd|passphrase|pass|pwd|psw|token|auth\w*|secret|api_?key|key|sig(?:nature)?|"
    r"session\w*|jsessionid|ticket|streamid|access_token)"
)
_NAME_KEY = re.compile(r"user(?:name)?|usr|login", re.I)
_LONG = 12  # a value of a query that is this long may be a token, whatever its key says
_IN_PATH = re.compile(rf"(?<![A-Za-z0-9])({_SECRET_KEY}=)(.*?)(?=[&;/]|_\w+=|$)", re.I | re.DOTALL)
_STREAM_KEY_LENGTH = 16


@dataclass(frozen=True, slots=True)
class Address:
    """What stands behind `scheme://`. Its user and password are as typed; nothing of it may be shown but `place`."""

    user: str | None = field(repr=False)
    password: str | None = field(repr=False)
    host: str
    port: int | None
    tail: str = field(repr=False)
    """Path, query and fragment, as typed."""
    doubtful: int = field(default=0, repr=False)
    """How many characters at the beginning of `tail` could as well be the end of a password."""
    end: int = field(default=0, repr=False)
    """Where `tail` begins in the text that was taken apart."""

    @property
    def place(self) -> str:
        """`host:port`."""
        return self.host if self.port is None else f"{self.host}:{self.port}"


def split_address(text: str, *, within_text: bool = False) -> Address | None:
    """Take apart what stands behind `scheme://`; None when no host can be made out.

    Args:
        text: credentials, host, port, path, query.
        within_text: other words may follow behind the host.
    """
    pattern = _PLACE_IN_TEXT if within_text else _PLACE
    readings: list[tuple[int, re.Match[str]]] = []
    for at in re.finditer("@", text):
        user = text[: at.start()].partition(":")[0]
        place = _place(pattern, text, at.end())
        if place and not re.search(r"[/?#]", user):
            readings.append((at.start(), place))
    plain = _place(pattern, text, 0)
    best: tuple[int, re.Match[str]] | None = None
    best_certainty = 0
    last = 0
    for at_index, place in readings:
        if best and _is_mail_in_query(text, best[0], at_index, place):
            continue
        last = at_index
        # in `me@mail.test:8/x@cam1` the first @ belongs to the user name, rather than be all there is of a login
        certainty = _certainty(place) - (":" not in text[:at_index])
        if best is None or certainty >= best_certainty:
            best, best_certainty = (at_index, place), certainty
    if plain and (best is None or _is_local_or_ip(plain["host"]) or _certainty(plain) == 2 > 2 * best_certainty):
        return _address(text, None, plain, last)
    return None if best is None else _address(text, text[: best[0]], best[1], last)


def unescaped(typed: str) -> str:
    """A user name or password as it is meant: percent escapes count where the whole text can be read as escaped.

    A text with a `%` that begins no escape, or with a raw `@ / ? #` or space, was typed as it is.
    """
    if "%" not in typed or re.search(r"[@/?#\s]", typed) or not _ESCAPES.fullmatch(typed):
        return typed
    try:
        return unquote(typed, errors="strict")
    except UnicodeDecodeError:
        return typed


def escaped(text: str, *, safe: str = "") -> str:
    """`text` percent-encoded; bytes of a command line that are no UTF-8 are kept."""
    return quote(text, safe=safe, errors="surrogateescape")


def masked_tail(tail: str, *, scheme: str = "", doubtful: int = 0) -> str:
    """Path and query fit to be shown: values of queries, and what looks like a secret in a path, are left out.

    Args:
        tail: what stands behind `host:port`.
        scheme: of `rtmp` and `rtmps` the last part of the path, when long, is a key and left out.
        doubtful: so many characters may be a part of a password and are left out.
    """
    if doubtful:
        tail = f"/{MASK}/{tail[doubtful:].lstrip('/')}"
    tail, hash_mark, fragment = tail.partition("#")
    path, question_mark, query = tail.partition("?")
    path = _IN_PATH.sub(lambda found: found[1] + MASK, path)
    for key in _stream_key(scheme, path):
        path = path.removesuffix(key) + MASK
    shown = path.replace("@", "%40") + question_mark + _masked_query(query)
    return shown + (f"#{MASK}" if hash_mark and fragment else "")


def secrets_of(text: str, address: Address, scheme: str) -> tuple[str, ...]:
    """The passwords and tokens of an address, as typed and as meant.

    Args:
        text: what stands behind `scheme://`.
        address: the same, taken apart.
        scheme: in lower case.
    """
    found: list[str] = []
    if address.doubtful:
        # the longest text that could be the password
        found.append(text[: address.end + address.doubtful - 1].partition(":")[2])
    else:
        found += _tail_secrets(address.tail, scheme)
    if address.password:
        found += [address.password, unescaped(address.password), f"{address.user or ''}:{address.password}"]
    return tuple(dict.fromkeys(secret for secret in found if secret))


def _tail_secrets(tail: str, scheme: str) -> tuple[str, ...]:
    before, _, fragment = tail.partition("#")
    path, _, query = before.partition("?")
    found = [(match[1].rstrip("="), match[2]) for match in _IN_PATH.finditer(path)]
    for part in re.split("[&;]", query):
        key, equals, value = part.partition("=")
        if (equals and _IN_PATH.fullmatch(part)) or len(value or key) >= _LONG:
            found.append((key, value or key))
    secrets = [value for key, value in found if value and not _NAME_KEY.fullmatch(key)]
    secrets += [text for text in (fragment,) if len(text) >= _LONG]
    return (*secrets, *_stream_key(scheme, path))


def _stream_key(scheme: str, path: str) -> tuple[str, ...]:
    leaf = path.rpartition("/")[2]
    return (leaf,) if scheme in ("rtmp", "rtmps") and len(leaf) >= _STREAM_KEY_LENGTH else ()


def _masked_query(query: str) -> str:
    def masked(part: str) -> str:
        key, equals, value = part.partition("=")
        if not equals:
            # a bare word may be a token as well: only what looks like a word of a camera's maker is kept
            return key if re.fullmatch(r"[A-Za-z_]{0,16}", key) else MASK
        key = key if re.fullmatch(r"[\w.\[\]-]{1,40}", key) else MASK
        return f"{key}={value}" if _is_plain(key, value) or not value else f"{key}={MASK}"

    return re.sub(r"[^&;]+", lambda part: masked(part[0]), query)


def _is_plain(key: str, value: str) -> bool:
    return bool(_PLAIN_KEY.fullmatch(key) and _PLAIN_VALUE.fullmatch(value))


def _address(text: str, userinfo: str | None, place: re.Match[str], last: int) -> Address:
    user, colon, password = (userinfo or "").partition(":")
    return Address(
        user=user or None,
        password=password if colon else None,
        host=place["host"] or "",
        port=None if place["port"] is None else int(place["port"]),
        tail=text[place.end() :],
        doubtful=max(0, last + 1 - place.end()),
        end=place.end(),
    )


def _place(pattern: re.Pattern[str], text: str, start: int) -> re.Match[str] | None:
    found = pattern.match(text, start)
    if not found or not found[0]:
        return None
    return found if found["port"] is None or 0 < int(found["port"]) < 65536 else None


def _is_mail_in_query(text: str, host_at: int, mail_at: int, place: re.Match[str]) -> bool:
    """Whether the second @ of `user:pw@host/video?mail=me@example.com` ends no credentials."""
    if _certainty(place) == 2 or place["port"] or text[place.end() : place.end() + 1] in ("/", "?", "#"):
        return False
    return _QUERY_AFTER_HOST.fullmatch(text, host_at, mail_at) is not None


def _certainty(place: re.Match[str]) -> int:
    host, port = place["host"] or "", place["port"]
    if _is_local_or_ip(host) or (port and int(port) in USUAL_PORTS):
        return 2
    return 1 if port or re.search(r"\.[^\W\d]{2,}\.?$", host) else 0


def _is_local_or_ip(host: str | None) -> bool:
    if (host or "").lower() == "localhost":
        return True
    try:
        ipaddress.ip_address((host or "").strip("[]").partition("%")[0])
    except ValueError:
        return False
    return True
