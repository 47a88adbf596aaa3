from __future__ import annotations

import re
from pathlib import Path

import pytest

from streamdet.cli.events_file import notes_on_events, read_events
from streamdet.errors import UsageError
from streamdet.events.rules import BayChange, CameraDown, ClipSpan, Crossing, Crowd, Dwell, Visit

DOCS = Path(__file__).parents[2] / "docs" / "events.md"


def write(folder: Path, text: str) -> Path:
    path = folder / "events.toml"
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)
    return path


FULL = """
folder = "alarms"
keep = "30d"
max_size = "20GB"
snapshot = false
clip = { before = "3s", after = 7 }
send = ["home"]

[rule.loitering]
zone = "yard"
classes = ["person"]
longer_than = "10s"
sources = ["gate"]
cooldown = "1m"
snapshot = true

[rule.arrival]
line = "gate"
direction = "in"
clip = false
send = []

[rule.crowd]
zone = "yard"
above = 5

[rule.full]
above = 10
classes = "car"
longer_than = 3

[rule.bays]
bay = ["A1", "A2"]
change = "freed"

[rule."who is there"]
zone = "yard"

[rule.leaves]
zone = "yard"
change = "left"
send = ["home", "broker"]

[rule.offline]
camera = "down"

[webhook.home]
url_env = "HOOK"
secret = "s3cret"
timeout = "3s"

[mqtt.broker]
url = "mqtt://broker.local"
user = "me"
password_env = "BROKER_PASSWORD"
discovery = true
"""


def test_everything_that_can_be_said(tmp_path: Path) -> None:
    options = read_events(write(tmp_path, FULL), {"HOOK": "https://h.test/x", "BROKER_PASSWORD": "p"})
    assert (options.folder, options.keep_s, options.max_bytes) == (tmp_path / "alarms", 30 * 86400, 20 * 10**9)
    conditions = [rule.condition for rule in options.rules]
    assert conditions == [
        Dwell("yard", 10.0, ("person",)),
        Crossing("gate", "in"),
        Crowd(5, "yard"),
        Crowd(10, None, 3.0, ("car",)),
        BayChange(("A1", "A2"), "freed"),
        Visit("yard", "entered"),
        Visit("yard", "left"),
        CameraDown(30.0),
    ]
    loitering, arrival = options.rules[:2]
    assert (loitering.sources, loitering.cooldown_s, loitering.snapshot) == (("gate",), 60.0, True)
    assert (loitering.clip, loitering.send) == (ClipSpan(3.0, 7.0), ("home",))
    assert (arrival.snapshot, arrival.clip, arrival.send) == (False, None, ())
    [webhook], [mqtt] = options.webhooks, options.mqtts
    assert (webhook.url.reveal(), webhook.timeout_s) == ("https://h.test/x", 3.0)
    assert (mqtt.discovery, mqtt.prefix) == ("homeassistant", "streamdet")
    assert mqtt.password is not None
    assert mqtt.password.reveal() == "p"
    assert "s3cret" not in repr(options)


def test_little_is_enough(tmp_path: Path) -> None:
    options = read_events(write(tmp_path, '[rule.cars]\nline = "gate"\n'), {})
    [rule] = options.rules
    assert (rule.snapshot, rule.clip, rule.cooldown_s, rule.send) == (True, None, 0.0, None)
    assert options.folder == tmp_path / "events"


RULE = '[rule.cars]\nline = "gate"\n'


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", 'events.toml holds no rule; add a table such as [rule.visitor] with line = "gate"'),
        ("[rule.cars]\n", "events.toml: nothing says when in [rule.cars] holds; give it a line, a zone, a bay, "),
        (
            '[rule.cars]\nlien = "gate"\n',
            "events.toml, line 2: unknown key 'lien' in [rule.cars]; did you mean 'line'?",
        ),
        (RULE + 'longer_than = "3s"\n', 'line 3: longer_than = "3s" in [rule.cars] does not go with line; leave one'),
        (
            "[rule.cars]\nabove = 2.5\n",
            "above = 2.5 in [rule.cars] is no number of objects; give a whole one such as 5",
        ),
        ('[rule.a]\ncamera = "up"\n', 'camera = "up" in [rule.a] is unknown; give "down"'),
        (
            RULE + 'send = ["phone"]\n',
            "names 'phone', which is no webhook and no mqtt; there is none: add [webhook.NAME]",
        ),
        (RULE + "clip = 5\n", 'clip = 5 in [rule.cars] is no span; give { before = "5s", after = "5s" }, or true'),
        (RULE + "clip = { befor = 1 }\n", "unknown key 'befor' in [rule.cars.clip]; did you mean 'before'?"),
        (RULE + "[webhook.home]\n", "events.toml: url is missing in [webhook.home]; add it, or url_env"),
        (RULE + '[webhook.h]\nurl_env = "NO"\n', 'url_env = "NO" in [webhook.h] names an environment variable that is'),
        (RULE + '[webhook.a]\nurl = "x"\n[mqtt.a]\nurl = "y"\n', "a webhook and an mqtt are both called a; give each"),
        ('[rule."a/b"]\nline = "gate"\n', "events.toml: rule 'a/b' can't be called so; use up to 64 letters"),
    ],
)
def test_mistakes_name_their_place(text: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        read_events(write(tmp_path, text), {})
    assert told in str(caught.value)


def test_a_file_with_secrets_that_others_may_read_is_noted(tmp_path: Path) -> None:
    path = write(tmp_path, RULE + '[webhook.home]\nurl = "https://u:s3cret@h.test/x"\n')
    assert notes_on_events(path) == []
    path.chmod(0o644)
    [note] = notes_on_events(path)
    assert "holds secrets (home)" in note
    assert "s3cret" not in note


def test_the_examples_of_the_page_are_read(tmp_path: Path) -> None:
    examples = re.findall(r"```toml\n(.*?)```", DOCS.read_text("utf-8"), re.DOTALL)
    assert examples
    variables = dict.fromkeys(re.findall(r'_env = "(\w+)"', "".join(examples)), "mqtt://broker.local")
    for example in examples:
        assert read_events(write(tmp_path, example), variables).rules
