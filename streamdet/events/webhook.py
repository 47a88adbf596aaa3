"""Events over HTTP: each a POST of JSON, signed as the Standard Webhooks describe (https://www.standardwebhooks.com).

webhook-id          the event's id: the same with every try, so that a receiver can tell a repetition
webhook-timestamp   seconds since 1970, of this try
webhook-signature   v1,BASE64 of HMAC-SHA256 over "ID.TIMESTAMP.BODY" (with a secret)
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import http.client
import ssl
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from streamdet import __version__
from streamdet.errors import UsageError
from streamdet.events.courier import NotDeliveredError
from streamdet.events.cursor import Entry
from streamdet.video.address import escaped, split_address, unescaped
from streamdet.video.credentials import Secret

SECRET_PREFIX = "whsec_"
REFUSED = frozenset({400, 405, 406, 411, 413, 414, 415, 422})
"""Answers that call the message itself wrong; with any other it may be the receiver's state, and waiting may help."""
LONGEST_ANSWER = 65_536
"""Bytes of an answer's body that are read, for the connection to be used again."""


@dataclass(frozen=True, slots=True)
class WebhookOptions:
    """A receiver over HTTP."""

    name: str
    url: Secret
    """`http` or `https`; with user and password for basic authentication, if need be."""
    secret: Secret | None = None
    """Key of the signature; as raw text, or `whsec_` and base64. None: not signed."""
    token: Secret | None = None
    """Sent as `Authorization: Bearer ...`."""
    timeout_s: float = 10.0
    """For an answer."""
    ca_file: Path | None = None
    """Certificates of authorities to trust, PEM; None: those of the system."""


class Webhook:
    """A receiver over HTTP; keeps its connection open from one message to the next. Used by one thread."""

    def __init__(self, options: WebhookOptions) -> None:
        """Take the address apart; nothing is opened yet. Raises UsageError when it is none."""
        self.name = options.name
        scheme, mark, rest = options.url.reveal().partition("://")
        address = split_address(rest) if mark else None
        if scheme.lower() not in ("http", "https") or address is None or not address.host:
            raise UsageError(
                f"url of webhook {options.name} is no address of a web server; give one such as https://example.org/hook"
            )
        self._tls = scheme.lower() == "https"
        # paths of webhooks are often their only secret
        self.shown = f"webhook {options.name} ({scheme.lower()}://{address.place})"
        self._host, self._port = address.host.strip("[]"), address.port
        path = address.tail.partition("#")[0]
        self._path = escaped(path if path.startswith("/") else f"/{path}", safe="/?=&;:%@!$'()*+,~[]")
        self._key = None if options.secret is None else _key(options.name, options.secret.reveal())
        self._headers = {"Content-Type": "application/json", "User-Agent": f"streamdet/{__version__}"}
        if options.token is not None:
            self._headers["Authorization"] = f"Bearer {options.token.reveal()}"
        elif address.user is not None:
            login = f"{unescaped(address.user)}:{unescaped(address.password or '')}"
            self._headers["Authorization"] = f"Basic {base64.b64encode(login.encode()).decode()}"
        self._timeout_s = options.timeout_s
        self._context = ssl.create_default_context(cafile=options.ca_file) if self._tls else None
        self._connection: http.client.HTTPConnection | None = None

    def open(self) -> None:
        """The connection is made with the first message."""

    def deliver(self, entry: Entry, stopping: threading.Event) -> None:
        """POST the message; returns with an answer of 2xx. Raises NotDeliveredError."""
        was_open = self._connection is not None
        headers = self._headers | signed(self._key, str(entry.fields["id"]), round(time.time()), entry.content)
        try:
            status, wait_s = self._post(entry.content, headers)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            if was_open and isinstance(error, (ConnectionError, http.client.RemoteDisconnected)):
                self.deliver(entry, stopping)  # servers close connections that were idle: no reason to wait
                return
            raise NotDeliveredError(_why(error)) from None
        if 200 <= status < 300:
            return
        if 300 <= status < 400:
            raise NotDeliveredError(f"answers {status}, a redirection: give the address it leads to")
        raise NotDeliveredError(f"answers {status}", refused=status in REFUSED, wait_s=wait_s)

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _post(self, body: bytes, headers: dict[str, str]) -> tuple[int, float | None]:
        """The status of the answer, and for how long it asks to be left alone."""
        if self._connection is None:
            if self._context is not None:
                self._connection = http.client.HTTPSConnection(
                    self._host, self._port, timeout=self._timeout_s, context=self._context
                )
            else:
                self._connection = http.client.HTTPConnection(self._host, self._port, timeout=self._timeout_s)
        self._connection.request("POST", self._path, body, headers)
        answer = self._connection.getresponse()
        answer.read(LONGEST_ANSWER)
        if not answer.isclosed() or answer.will_close:
            self.close()
        after = answer.getheader("Retry-After", "")
        return answer.status, float(after) if after.isdecimal() else None


def signed(key: bytes | None, message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The headers that name a message and, with a `key`, prove where it comes from."""
    headers = {"webhook-id": message_id, "webhook-timestamp": str(timestamp)}
    if key is not None:
        content = f"{message_id}.{timestamp}.".encode() + body
        signature = base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
        headers["webhook-signature"] = f"v1,{signature}"
    return headers


def _key(name: str, secret: str) -> bytes:
    if not secret.startswith(SECRET_PREFIX):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except binascii.Error:
        raise UsageError(
            f"secret of webhook {name} begins with {SECRET_PREFIX} and is not base64 behind it; copy it again"
        ) from None


def _why(error: Exception) -> str:
    """Never the error's own words: they may hold the address."""
    if isinstance(error, TimeoutError):
        return "does not answer in time"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"shows a certificate that can't be trusted ({error.verify_message}): name its authority in ca_file"
    if isinstance(error, ssl.SSLError):
        return f"speaks no TLS that we understand ({(error.reason or 'unknown').lower()})"
    if isinstance(error, OSError) and error.strerror:
        return f"can't be reached ({error.strerror.lower()})"
    return "breaks off the connection"
