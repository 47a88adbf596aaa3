"""The promise: every event reaches every receiver, in order, whoever is killed meanwhile."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import random
import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import Iterable
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from streamdet.events.journal import file_numbers, path_of
from tests.events.servers import REPOSITORY, Broker, WebReceiver, wait_until
from tests.events.streamdet_process import SOURCES

EVENTS_PER_SOURCE = 250
ROUNDS = 10
STREAMDET_DIES_IN = (2, 5, 8)
SECRET = "whsec_" + base64.b64encode(b"a key of the test").decode()


class Subscriber:
    """Listens to a broker with a session that outlives both of them."""

    def __init__(self, port: int) -> None:
        import paho.mqtt.client as paho
        from paho.mqtt.enums import CallbackAPIVersion

        self.messages: list[dict[str, Any]] = []
        self.connected = threading.Event()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id="listener", clean_session=False)
        self._client.reconnect_delay_set(0.02, 0.1)  # type: ignore[arg-type]
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = lambda *_: self.connected.clear()
        self._client.on_subscribe = lambda *_: self.connected.set()
        self._client.on_message = lambda _, __, message: self.messages.append(json.loads(message.payload))
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def _on_connect(self, client: Any, *_: object) -> None:
        client.subscribe("streamdet/+/+", qos=1)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def journalled(folder: Path, what: str = '"type": "event"') -> int:
    """Lines in the journal that hold a text."""
    if not folder.is_dir():
        return 0
    return sum(path_of(folder, number).read_bytes().count(what.encode()) for number in file_numbers(folder))


def first_numbers(messages: Iterable[dict[str, Any]]) -> dict[str, list[int]]:
    """By source, the numbers of events in the order in which they came first."""
    seen: dict[str, dict[int, None]] = defaultdict(dict)
    for message in messages:
        seen[message["source"]].setdefault(message["number"])
    return {source: list(numbers) for source, numbers in seen.items()}


@pytest.mark.slow
@pytest.mark.mosquitto
def test_a_thousand_events_outlive_the_death_of_everybody(tmp_path: Path) -> None:
    folder, dice = tmp_path / "events", random.Random(7)
    total = EVENTS_PER_SOURCE * len(SOURCES)
    with WebReceiver(tmp_path) as web, Broker(tmp_path) as broker, closing(Subscriber(broker.port)) as subscriber:
        script = [sys.executable, "-m", "tests.events.streamdet_process"]
        command = [*script, str(folder), str(EVENTS_PER_SOURCE), "0.004", str(web.port), str(broker.port), SECRET]

        def start() -> subprocess.Popen[bytes]:
            return subprocess.Popen(command, cwd=REPOSITORY)

        streamdet = start()
        try:
            for number in range(ROUNDS):
                due = (number + 1) * total // (ROUNDS + 1)
                wait_until(lambda due=due: journalled(folder) >= due, f"{due} events")  # type: ignore[misc]
                wait_until(subscriber.connected.is_set, "the listener")
                for server in dice.sample([web, broker], 2):
                    server.kill()
                    if number in STREAMDET_DIES_IN and server is broker:
                        streamdet.kill()
                        streamdet.wait()
                        streamdet = start()
                wait_until(lambda due=due: journalled(folder) >= due + 20, "events without receivers")  # type: ignore[misc]
                for server in dice.sample([web, broker], 2):
                    server.start()
            assert streamdet.wait(timeout=60) == 0
        finally:
            streamdet.kill()
            streamdet.wait()
        assert json.loads((tmp_path / "told.json").read_text())["behind"] == [False, False]
        by_mqtt = subscriber.messages
        wait_until(lambda: len({message["id"] for message in by_mqtt}) >= total, "the broker's last messages")
        by_web = web.received

    expected = {source: list(range(1, EVENTS_PER_SOURCE + 1)) for source in SOURCES}
    assert first_numbers(by_mqtt) == expected
    bodies = [json.loads(message["body"]) for message in by_web]
    assert first_numbers(bodies) == expected
    # over HTTP nobody repeats but us, and we repeat only the last message
    for source in SOURCES:
        numbers = [body["number"] for body in bodies if body["source"] == source]
        assert all(later - earlier in (0, 1) for earlier, later in pairwise(numbers))
    assert {body["id"] for body in bodies} == {message["id"] for message in by_mqtt}
    for message in by_web:
        assert message["headers"]["webhook-signature"] == expected_signature(message)


def expected_signature(message: dict[str, Any]) -> str:
    """As https://www.standardwebhooks.com has it."""
    headers = message["headers"]
    content = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.{message['body']}".encode()
    digest = hmac.new(base64.b64decode(SECRET.removeprefix("whsec_")), content, hashlib.sha256).digest()
    return "v1," + base64.b64encode(digest).decode()
