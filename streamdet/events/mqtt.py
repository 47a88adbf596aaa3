"""Events to an MQTT broker, with quality of service 1, and what Home Assistant needs to find them by itself.

Topics, all below a prefix ("streamdet"):

    SOURCE/RULE             an event as JSON
    SOURCE/RULE/snapshot    its picture, JPEG
    SOURCE/RULE/clip        a clip is complete, JSON
    SOURCE/connected        ON or OFF, where a rule watches for a camera that is down; retained
    status                  online or offline: streamdet itself; retained
"""

from __future__ import annotations

import contextlib
import json
import secrets
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamdet.errors import UsageError
from streamdet.events.courier import NotDeliveredError, Retry
from streamdet.events.cursor import Entry
from streamdet.events.discovery import Announcement, announcements, topic_part
from streamdet.events.rules import Rule
from streamdet.video.address import split_address, unescaped
from streamdet.video.credentials import Secret

if TYPE_CHECKING:
    import paho.mqtt.client as paho

PORTS = {"mqtt": 1883, "mqtts": 8883}
QOS = 1
KEEPALIVE_S = 30
PATIENCE_S = 5.0
"""So long a broker may take to answer before that is called a failure."""
LOOK_S = 0.1


@dataclass(frozen=True, slots=True)
class MqttOptions:
    """A broker."""

    name: str
    url: Secret
    """`mqtt://user:password@host:port`, or `mqtts` for TLS."""
    user: Secret | None = None
    """Instead of the one in `url`."""
    password: Secret | None = None
    """Instead of the one in `url`."""
    prefix: str = "streamdet"
    """First part of all topics."""
    discovery: str | None = None
    """First part of the topics under which Home Assistant looks for devices, "homeassistant"; None: not announced."""
    snapshots: bool = True
    """Publish the picture of an event before the event."""
    ca_file: Path | None = None
    """Certificates of authorities to trust, PEM; None: those of the system."""


class Mqtt:
    """A broker as a receiver. Messages are published one after the other: the next when the last is confirmed.

    The connection is paho's: it connects anew by itself, and then publishes again what was not confirmed.
    """

    def __init__(self, options: MqttOptions, folder: Path, retry: Retry) -> None:
        """Take the address apart; `folder`: of the snapshots. Raises UsageError: no broker, or paho-mqtt is missing."""
        self.name = options.name
        self._options = options
        self._folder = folder
        scheme, mark, rest = options.url.reveal().partition("://")
        address = split_address(rest) if mark else None
        if scheme.lower() not in PORTS or address is None or not address.host:
            raise UsageError(
                f"url of mqtt {options.name} is no address of a broker; give one such as mqtt://192.168.1.5:1883"
            )
        self._host, self._port = address.host.strip("[]"), address.port or PORTS[scheme.lower()]
        self.shown = f"mqtt {options.name} ({scheme.lower()}://{address.place})"
        self._user = options.user.reveal() if options.user else unescaped(address.user or "")
        self._password = options.password.reveal() if options.password else unescaped(address.password or "")
        self._tls = scheme.lower() == "mqtts"
        self._status = f"{options.prefix}/status"
        self._retry = retry
        self._connected = threading.Event()
        self._problem = ""
        self._lock = threading.Lock()
        self._announced: dict[str, Announcement] = {}
        self._published: tuple[str, set[int]] | None = None
        """The id of the message on its way, and what paho calls its parts."""
        self._confirmed: set[int] = set()
        self._news = threading.Event()
        self._started = False
        self._client = self._make_client()

    def announce(self, source: str, rules: Sequence[Rule]) -> None:
        """Tell of a source and its rules, now and with every new connection; from any thread."""
        made = announcements(self._options.prefix, self._options.discovery, source, rules)
        with self._lock:
            self._announced |= {announcement.topic: announcement for announcement in made}
        if self._connected.is_set():
            self._publish_retained(made)

    def open(self) -> None:
        """Connect, in paho's thread and again and again, and tell what there is."""
        self._started = True
        self._client.connect_async(self._host, self._port, KEEPALIVE_S)
        self._client.loop_start()

    def deliver(self, entry: Entry, stopping: threading.Event) -> None:
        """Publish, and wait until the broker confirms. Raises NotDeliveredError."""
        waited_s = 0.0
        while not self._connected.wait(LOOK_S):
            waited_s += LOOK_S
            if stopping.is_set() or waited_s >= PATIENCE_S:
                raise NotDeliveredError(self._problem or "does not answer", has_waited=True)
        identity = str(entry.fields["id"])
        if self._published is None or self._published[0] != identity:
            messages = self._messages(entry)
            self._confirmed.clear()
            # what is published without a connection, or is not confirmed, paho publishes with the next one
            self._published = identity, {self._client.publish(topic, content, QOS).mid for topic, content in messages}
        deadline_s = time.monotonic() + PATIENCE_S
        while not self._published[1] <= self._confirmed:
            if stopping.is_set() or time.monotonic() > deadline_s:
                raise NotDeliveredError(self._problem or "does not confirm", has_waited=True)
            self._news.wait(LOOK_S)
            self._news.clear()
        self._published = None

    def close(self) -> None:
        """Say goodbye and end paho's thread."""
        if not self._started:
            return
        if self._connected.is_set():
            with contextlib.suppress(RuntimeError, ValueError):  # it broke off in this very moment: the will speaks
                self._client.publish(self._status, b"offline", QOS, retain=True).wait_for_publish(1.0)
        self._client.disconnect()
        self._client.loop_stop()

    def _messages(self, entry: Entry) -> list[tuple[str, bytes]]:
        """Topic and payload: the event comes last."""
        fields = entry.fields
        source = f"{self._options.prefix}/{topic_part(str(fields['source']))}"
        topic = f"{source}/{topic_part(str(fields.get('rule', '')))}"
        if fields["type"] != "event":
            return [(f"{topic}/{topic_part(str(fields['type']))}", entry.content)]
        messages: list[tuple[str, bytes]] = []
        if self._options.snapshots and (picture := self._snapshot(fields)) is not None:
            messages.append((f"{topic}/snapshot", picture))
        if fields["kind"] in ("camera down", "camera up"):
            state = Announcement(f"{source}/connected", b"ON" if fields["kind"] == "camera up" else b"OFF")
            with self._lock:
                self._announced[state.topic] = state
            self._publish_retained([state])
        # Home Assistant's name for what an entity of the kind "event" tells
        content = json.dumps(fields | {"event_type": fields["kind"]}, ensure_ascii=False)
        return [*messages, (topic, content.encode())]

    def _snapshot(self, fields: dict[str, Any]) -> bytes | None:
        if "snapshot" not in fields:
            return None
        try:
            return (self._folder / str(fields["snapshot"])).read_bytes()
        except OSError:  # deleted meanwhile, as old ones are
            return None

    def _make_client(self) -> paho.Client:
        try:
            import paho.mqtt.client as paho
            from paho.mqtt.enums import CallbackAPIVersion
        except ImportError:
            raise UsageError("events to MQTT need the package paho-mqtt: pip install 'streamdet[mqtt]'") from None
        client = paho.Client(CallbackAPIVersion.VERSION2, client_id=f"streamdet-{secrets.token_hex(6)}")
        if self._user or self._password:
            client.username_pw_set(self._user, self._password)
        if self._tls:
            ca_file = self._options.ca_file
            client.tls_set(ca_certs=None if ca_file is None else str(ca_file))
        client.will_set(self._status, b"offline", QOS, retain=True)
        client.reconnect_delay_set(self._retry.first_s, self._retry.most_s)  # type: ignore[arg-type]
        client.connect_timeout = PATIENCE_S
        client.on_connect = self._on_connect
        client.on_connect_fail = self._on_connect_fail
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        return client

    def _publish_retained(self, made: Sequence[Announcement]) -> None:
        for announcement in made:
            self._client.publish(announcement.topic, announcement.payload, QOS, retain=True)

    # What paho calls from its own thread.

    def _on_connect(self, client: Any, _: object, flags: object, reason: Any, properties: object) -> None:
        if reason.is_failure:
            self._problem = f"refuses us ({str(reason).lower()})"
            return
        self._problem = ""
        client.publish(self._status, b"online", QOS, retain=True)
        with self._lock:
            made = list(self._announced.values())
            self._connected.set()
        self._publish_retained(made)

    def _on_connect_fail(self, *_: object) -> None:
        self._problem = "can't be reached"

    def _on_disconnect(self, client: object, data: object, flags: object, reason: Any, properties: object) -> None:
        self._connected.clear()
        if reason.is_failure and not self._problem:
            self._problem = "broke off the connection"

    def _on_publish(self, client: object, data: object, mid: int, *_: object) -> None:
        self._confirmed.add(mid)
        self._news.set()
