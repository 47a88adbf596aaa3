"""A run of streamdet over several cameras at whose gates cars pass, to be killed with -9 and started again.

    python -m tests.events.streamdet_process FOLDER EVENTS_PER_SOURCE PAUSE_S WEB_PORT MQTT_PORT SECRET

What it has to say at its end stands in `told.json` beside the folder.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from streamdet.events.courier import Retry
from streamdet.events.desk import EventDesk, EventOptions
from streamdet.events.mqtt import MqttOptions
from streamdet.events.rules import Crossing, Rule
from streamdet.events.sink import EventRecorder, LiveEventSink
from streamdet.events.webhook import WebhookOptions
from streamdet.video.credentials import Secret
from tests.events.scenes import crossing, detected

SOURCES = ("north", "east", "south", "west")


def main(folder: Path, events: int, pause_s: float, web_port: int, mqtt_port: int, secret: str) -> None:
    options = EventOptions(
        (Rule("cars in", Crossing("gate", "in")),),
        folder,
        webhooks=(WebhookOptions("web", Secret(f"http://127.0.0.1:{web_port}/hook"), Secret(secret), timeout_s=2),),
        mqtts=(MqttOptions("broker", Secret(f"mqtt://127.0.0.1:{mqtt_port}"), snapshots=False),),
        retry=Retry(0.05, 0.3),
    )
    desk = EventDesk(options)
    sinks = {source: LiveEventSink(EventRecorder(desk, source, lambda d: d.frame.picture)) for source in SOURCES}
    left = {source: events - desk.journal.last_number(source) for source in SOURCES}
    index = 0
    while any(left.values()):
        for source in SOURCES:
            if left[source]:
                left[source] -= 1
                sinks[source].write(detected(index, ("car", index), happenings=[crossing(index)], source=source))
                time.sleep(pause_s)
        index += 1
    for sink in sinks.values():
        sink.finish(complete=True)
    desk.finish(wait_s=30)
    told = {"behind": [courier.is_behind for courier in desk.couriers], "notes": desk.news()}
    (folder.parent / "told.json").write_text(json.dumps(told))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5]), sys.argv[6])
