"""The file of events, `streamdet run --events events.toml`: rules, and whom to tell. Its form: docs/events.md."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, cast

from streamdet.cli.cameras_file import others_may_read
from streamdet.cli.quantities import parse_bytes
from streamdet.cli.toml_table import Table, TomlFile
from streamdet.errors import UsageError
from streamdet.events.desk import EventOptions
from streamdet.events.mqtt import MqttOptions
from streamdet.events.rules import (
    BayChange,
    CameraDown,
    ClipSpan,
    Condition,
    Crossing,
    Crowd,
    Dwell,
    Rule,
    Visit,
)
from streamdet.events.webhook import WebhookOptions
from streamdet.video.base import printable
from streamdet.video.credentials import Secret
from streamdet.video.redaction import secrets_in

SHARED_KEYS = ("sources", "cooldown", "snapshot", "clip", "send")
"""May stand at the head of the file, for all rules, too."""
CONDITION_KEYS = ("line", "direction", "zone", "change", "above", "longer_than", "bay", "camera", "classes")
HEAD_KEYS = ("folder", "keep", "max_size", *SHARED_KEYS, "rule", "webhook", "mqtt")
WEBHOOK_KEYS = ("url", "url_env", "secret", "secret_env", "token", "token_env", "timeout", "ca_file")
MQTT_KEYS = (
    *("url", "url_env", "user", "user_env", "password", "password_env"),
    *("prefix", "discovery", "snapshots", "ca_file"),
)
SECRET_KEYS = ("secret", "token", "password")
HOME_ASSISTANT = "homeassistant"
DEFAULT_FOLDER = "events"


def read_events(path: Path, environment: Mapping[str, str]) -> EventOptions:
    """The rules and receivers in the file.

    Raises:
        UsageError: the file can't be read, or something in it is wrong.
    """
    file = TomlFile(path, of="events")
    head = file.table()
    head.check_keys(HEAD_KEYS)
    names = list(file.table("rule").values)
    if not names:
        raise UsageError(f'{file.name} holds no rule; add a table such as [rule.visitor] with line = "gate"')
    webhooks = tuple(_webhook(file.table("webhook", name), environment) for name in file.table("webhook").values)
    mqtts = tuple(_mqtt(file.table("mqtt", name), environment) for name in file.table("mqtt").values)
    receivers = [*(webhook.name for webhook in webhooks), *(mqtt.name for mqtt in mqtts)]
    for name in receivers:
        if receivers.count(name) > 1:
            raise UsageError(f"{file.name}: a webhook and an mqtt are both called {name}; give each a name of its own")
    return EventOptions(
        rules=tuple(_rule(file.table("rule", name), head, receivers) for name in names),
        folder=_placed(file, head.text("folder") if "folder" in head else DEFAULT_FOLDER),
        webhooks=webhooks,
        mqtts=mqtts,
        keep_s=head.seconds("keep") if "keep" in head else None,
        max_bytes=parse_bytes(str(head.values["max_size"]), "max_size") if "max_size" in head else None,
    )


def notes_on_events(path: Path) -> list[str]:
    """What the user should know of the file: it holds secrets, and others may read it."""
    file = TomlFile(path, of="events")
    tables = [file.table(kind, name) for kind in ("webhook", "mqtt") for name in file.table(kind).values]
    with_secrets = [
        table.place[-1]
        for table in tables
        if any(key in table for key in SECRET_KEYS) or secrets_in(str(table.values.get("url", "")))
    ]
    if not with_secrets or not others_may_read(path):
        return []
    whose = printable(", ".join(with_secrets))
    return [f"{file.name} holds secrets ({whose}) and other users may read it: chmod 600 it, or use secret_env"]


def _rule(own: Table, head: Table, receivers: list[str]) -> Rule:
    own.check_keys((*CONDITION_KEYS, *SHARED_KEYS))
    tables = {key: next((table for table in (own, head) if key in table), None) for key in SHARED_KEYS}
    sources, cooldown, snapshot, clip, send = (tables[key] for key in SHARED_KEYS)
    wanted = _names(send, "send") if send is not None else None
    for name in wanted or ():
        assert send is not None
        if name not in receivers:
            there = f"there are {', '.join(receivers)}" if receivers else "there is none: add [webhook.NAME]"
            raise send.error("send", send.values["send"], f"names {name!r}, which is no webhook and no mqtt; {there}")
    return Rule(
        name=_name(own),
        condition=_condition(own),
        sources=sources.names("sources") if sources is not None else None,
        cooldown_s=cooldown.seconds("cooldown") if cooldown is not None else 0.0,
        snapshot=snapshot.switch("snapshot") if snapshot is not None else True,
        clip=_clip(clip) if clip is not None else None,
        send=wanted,
    )


def _condition(own: Table) -> Condition:
    """Which keys are there says what is meant."""
    kind = next((key for key in ("line", "bay", "camera", "above", "zone") if key in own), None)
    if kind is None:
        raise UsageError(
            f"{own.file.name}: nothing says when{own.title} holds; give it a line, a zone, a bay, above = 5, "
            'or camera = "down"'
        )
    allowed = {
        "line": ("direction", "classes"),
        "bay": ("change",),
        "camera": ("longer_than",),
        "above": ("zone", "longer_than", "classes"),
        "zone": ("longer_than", "change", "classes"),
    }[kind]
    for key in CONDITION_KEYS:
        if key in own and key != kind and key not in allowed:
            raise own.error(key, own.values[key], f"does not go with {kind}; leave one of them out")
    classes = own.names("classes") if "classes" in own else None
    longer_than_s = own.seconds("longer_than") if "longer_than" in own else None
    match kind:
        case "line":
            way = own.choice("direction", ("in", "out")) if "direction" in own else None
            return Crossing(own.text("line"), cast(Literal["in", "out"] | None, way), classes)
        case "bay":
            change = own.choice("change", ("occupied", "freed")) if "change" in own else None
            return BayChange(own.names("bay"), cast(Literal["occupied", "freed"] | None, change))
        case "camera":
            own.choice("camera", ("down",))
            return CameraDown() if longer_than_s is None else CameraDown(longer_than_s)
        case "above":
            zone = own.text("zone") if "zone" in own else None
            return Crowd(_above(own), zone, longer_than_s or 0.0, classes)
    if "change" in own:
        if longer_than_s is not None:
            raise own.error("longer_than", own.values["longer_than"], "does not go with change; leave one of them out")
        change = own.choice("change", ("entered", "left"))
        return Visit(own.text("zone"), cast(Literal["entered", "left"], change), classes)
    if longer_than_s is None:
        return Visit(own.text("zone"), "entered", classes)
    return Dwell(own.text("zone"), longer_than_s, classes)


def _above(own: Table) -> int:
    value = own.values["above"]
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise own.error("above", value, "is no number of objects; give a whole one such as 5")
    return value


def _clip(table: Table) -> ClipSpan | None:
    """`true`, `false`, or how much before and after."""
    value = table.values["clip"]
    if isinstance(value, bool):
        return ClipSpan() if value else None
    if not isinstance(value, dict):
        raise table.error("clip", value, 'is no span; give { before = "5s", after = "5s" }, or true')
    span = Table(table.file, (*table.place, "clip"), value)
    span.check_keys(("before", "after"))
    usual = ClipSpan()
    return ClipSpan(
        span.seconds("before") if "before" in span else usual.before_s,
        span.seconds("after") if "after" in span else usual.after_s,
    )


def _webhook(table: Table, environment: Mapping[str, str]) -> WebhookOptions:
    table.check_keys(WEBHOOK_KEYS)
    return WebhookOptions(
        name=_name(table),
        url=_needed(table, "url", environment),
        secret=_secret(table, "secret", environment),
        token=_secret(table, "token", environment),
        timeout_s=table.seconds("timeout") if "timeout" in table else 10.0,
        ca_file=_ca_file(table),
    )


def _mqtt(table: Table, environment: Mapping[str, str]) -> MqttOptions:
    table.check_keys(MQTT_KEYS)
    discovery = table.values.get("discovery", False)
    return MqttOptions(
        name=_name(table),
        url=_needed(table, "url", environment),
        user=_secret(table, "user", environment),
        password=_secret(table, "password", environment),
        prefix=table.text("prefix").strip("/") if "prefix" in table else "streamdet",
        discovery=(HOME_ASSISTANT if discovery else None) if isinstance(discovery, bool) else table.text("discovery"),
        snapshots=table.switch("snapshots") if "snapshots" in table else True,
        ca_file=_ca_file(table),
    )


def _needed(table: Table, key: str, environment: Mapping[str, str]) -> Secret:
    found = _secret(table, key, environment)
    if found is None:
        raise UsageError(f"{table.file.name}: {key} is missing{table.title}; add it, or {key}_env")
    return found


def _secret(table: Table, key: str, environment: Mapping[str, str]) -> Secret | None:
    """The value of `key`, or of the environment variable that `key_env` names."""
    named = f"{key}_env"
    if key in table and named in table:
        raise table.error(named, "", f"and {key} exclude each other; leave one out", secret=True)
    if key in table:
        return Secret(table.text(key, secret=True))
    if named not in table:
        return None
    variable = table.text(named)
    if not environment.get(variable):
        raise table.error(named, variable, "names an environment variable that is not set; set it before the start")
    return Secret(environment[variable])


def _ca_file(table: Table) -> Path | None:
    if "ca_file" not in table:
        return None
    path = _placed(table.file, table.text("ca_file"))
    if not path.is_file():
        raise table.error("ca_file", table.values["ca_file"], "is not there; give a PEM file of certificates")
    return path


def _name(table: Table) -> str:
    """It becomes part of file names and topics."""
    name = table.place[-1]
    if not re.fullmatch(r"\w[\w .-]{0,63}", name):
        raise UsageError(
            f"{table.file.name}: {table.place[0]} {printable(name)[:70]!r} can't be called so; use up to 64 letters, "
            "digits, - and _"
        )
    return name


def _names(table: Table, key: str) -> tuple[str, ...]:
    """Like `Table.names`, and may be empty: nobody is told."""
    return () if table.values[key] == [] else table.names(key)


def _placed(file: TomlFile, text: str) -> Path:
    """A path from the folder of the file."""
    return file.path.parent / Path(text).expanduser()
