from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from streamdet.errors import UsageError
from streamdet.events.courier import Retry
from streamdet.events.desk import EventDesk, EventOptions
from streamdet.events.mqtt import Mqtt, MqttOptions
from streamdet.events.rules import CameraDown, Crossing, Rule
from streamdet.events.sink import EventRecorder, LiveEventSink
from streamdet.video.credentials import Secret
from streamdet.video.live.status import SourceState, SourceStatus
from tests.events.scenes import crossing, detected
from tests.events.servers import Broker, wait_until

QUICK = Retry(0.05, 0.2)
RULES = (Rule("cars in", Crossing("gate", "in")), Rule("offline", CameraDown(5.0)))


@contextmanager
def listener(port: int, topics: str = "#") -> Iterator[list[tuple[str, bytes, bool]]]:
    """What a broker publishes: topic, payload, and whether it was retained."""
    import paho.mqtt.client as paho
    from paho.mqtt.enums import CallbackAPIVersion

    messages: list[tuple[str, bytes, bool]] = []
    ready = threading.Event()
    client = paho.Client(CallbackAPIVersion.VERSION2)
    client.on_subscribe = lambda *_: ready.set()
    client.on_message = lambda _, __, message: messages.append((message.topic, message.payload, message.retain))
    client.connect("127.0.0.1", port)
    client.subscribe(topics, qos=1)
    client.loop_start()
    assert ready.wait(20)
    try:
        yield messages
    finally:
        client.disconnect()
        client.loop_stop()


def desk_for(folder: Path, broker: Broker, **choices: Any) -> EventDesk:
    mqtt = MqttOptions("home", Secret(f"mqtt://127.0.0.1:{broker.port}"), **choices)
    return EventDesk(EventOptions(RULES, folder, mqtts=(mqtt,), retry=QUICK))


@pytest.mark.mosquitto
def test_an_event_comes_after_its_picture_and_a_camera_that_is_down_is_off(tmp_path: Path) -> None:
    with Broker(tmp_path) as broker, listener(broker.port) as messages:
        desk = desk_for(tmp_path / "events", broker)
        sink = LiveEventSink(EventRecorder(desk, "gate/north", lambda detected: detected.frame.picture))
        sink.write(detected(1, ("car", 7), happenings=[crossing(7)]))
        for seconds in range(8):
            sink.gone(SourceStatus(SourceState.WAITING, 0, "no route"), 2000.0 + seconds)
        sink.write(detected(20_000))
        sink.finish(complete=True)
        desk.finish()
        wait_until(lambda: ("streamdet/status", b"offline", False) in messages, "the goodbye")
    topics = [topic for topic, _, _ in messages]
    picture, event = topics.index("streamdet/gate-north/cars in/snapshot"), topics.index("streamdet/gate-north/cars in")
    assert picture < event
    assert messages[picture][1].startswith(b"\xff\xd8\xff")
    told = json.loads(messages[event][1])
    assert (told["event_type"], told["track"], told["source"]) == ("crossed", 7, "gate/north")
    assert (tmp_path / "events" / told["snapshot"]).read_bytes() == messages[picture][1]
    states = [payload for topic, payload, _ in messages if topic == "streamdet/gate-north/connected"]
    assert states == [b"ON", b"OFF", b"ON"]
    assert [json.loads(payload)["kind"] for topic, payload, _ in messages if topic.endswith("/offline")] == [
        "camera down",
        "camera up",
    ]


@pytest.mark.mosquitto
def test_home_assistant_finds_what_there_is(tmp_path: Path) -> None:
    with Broker(tmp_path) as broker:
        desk = desk_for(tmp_path / "events", broker, discovery="homeassistant", prefix="house/cams")
        desk.engine("Gate 1")
        with listener(broker.port) as early:
            wait_until(lambda: len(early) == 6, "announcements")
        desk.finish()
        with listener(broker.port) as late:  # as Home Assistant does after a restart: retained
            wait_until(lambda: len(late) == 6, "announcements")
        configs = {topic: json.loads(payload) for topic, payload, _ in late if topic.startswith("homeassistant/")}
        assert all(retained for _, _, retained in late)
        assert ("house/cams/status", b"offline", True) in late
    by_kind = {topic.split("/")[1]: config for topic, config in configs.items() if "offline" not in topic}
    assert sorted(by_kind) == ["binary_sensor", "event", "image"]
    event = by_kind["event"]
    assert (event["state_topic"], event["event_types"]) == ("house/cams/Gate 1/cars in", ["crossed"])
    assert event["availability_topic"] == "house/cams/status"
    assert by_kind["image"]["image_topic"] == "house/cams/Gate 1/cars in/snapshot"
    assert by_kind["binary_sensor"]["state_topic"] == "house/cams/Gate 1/connected"
    assert len({config["device"]["identifiers"][0] for config in configs.values()}) == 1
    assert len({config["unique_id"] for config in configs.values()}) == len(configs) == 4


@pytest.mark.mosquitto
def test_the_broker_says_offline_when_streamdet_is_gone(tmp_path: Path) -> None:
    with Broker(tmp_path) as broker, listener(broker.port) as messages:
        desk = desk_for(tmp_path / "events", broker)
        wait_until(lambda: ("streamdet/status", b"online", False) in messages, "online")
        desk.couriers[0].receiver._client.socket().shutdown(2)  # type: ignore[attr-defined]  # as a cable is pulled
        wait_until(lambda: ("streamdet/status", b"offline", False) in messages, "the will")
        wait_until(lambda: messages.count(("streamdet/status", b"online", False)) == 2, "the return")
        desk.close()


@pytest.mark.mosquitto
def test_a_wrong_password_is_told_once_and_events_wait(tmp_path: Path) -> None:
    passwords = tmp_path / "passwords"
    passwords.write_text("")
    with Broker(tmp_path, extra=[f"password_file {passwords}", "allow_anonymous false"]) as broker:
        mqtt = MqttOptions("home", Secret(f"mqtt://me:s3cret-pw@127.0.0.1:{broker.port}"))
        desk = EventDesk(EventOptions(RULES, tmp_path / "events", mqtts=(mqtt,), retry=QUICK))
        sink = LiveEventSink(EventRecorder(desk, "gate", lambda detected: detected.frame.picture))
        sink.write(detected(1, ("car", 7), happenings=[crossing(7)]))
        notes: list[str] = []
        wait_until(lambda: notes.extend(desk.news()) or notes, "a note")
        desk.finish(wait_s=0.5)
        notes += desk.news()
    shown = f"mqtt home (mqtt://127.0.0.1:{broker.port})"
    assert notes[0] == f"{shown} refuses us (not authorized): its events wait"
    assert notes[-1].startswith(f"{shown} has not got all events yet")
    assert len(notes) == 2
    assert "s3cret" not in "".join(notes)


@pytest.mark.parametrize("url", ["http://127.0.0.1", "mqtt://", "broker"])
def test_an_address_that_is_none(url: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="url of mqtt home is no address of a broker"):
        Mqtt(MqttOptions("home", Secret(url)), tmp_path, QUICK)
