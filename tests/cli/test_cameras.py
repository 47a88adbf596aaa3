"""The file of cameras: what it means, what is wrong with it, and what a new reading changes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from streamdet.cli.cameras import CameraOptions, check_classes, compare_cameras, notes_on
from streamdet.cli.cameras_file import read_cameras
from streamdet.errors import UsageError
from streamdet.options import AnalysisOptions, LiveOptions
from streamdet.results.places import PlaceRules, parse_line

DOCS = Path(__file__).parents[2] / "docs" / "cameras.md"
GATE = '[camera.gate]\nurl = "rtsp://10.0.0.1/a"\n'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "cameras.toml"
    path.touch(0o600)
    return path


def read(file: Path, text: str, **environment: str) -> tuple[CameraOptions, ...]:
    file.write_text(text, encoding="utf-8")
    return read_cameras(file, environment)


def mistake(file: Path, text: str, **environment: str) -> str:
    with pytest.raises(UsageError) as caught:
        read(file, text, **environment)
    sentence = str(caught.value)
    assert "\n" not in sentence
    return sentence


def test_the_example_of_the_documentation(file: Path) -> None:
    [example] = re.findall(r"```toml\n(.*?)```", DOCS.read_text(), re.DOTALL)
    netrc = file.with_name("netrc")
    netrc.write_text("machine example.org login me password from-netrc\n")
    passwords = {"CAMERAS_PASSWORD": "p@ss/:?#", "YARD_USER": "y.ard", "YARD_PASSWORD": "ö %"}
    gate, yard, street, desk = read(file, example, **passwords, NETRC=str(netrc))
    assert [camera.name for camera in (gate, yard, street, desk)] == ["gate", "yard", "street", "desk 1"]
    assert gate.location.target() == "rtsp://viewer:p%40ss%2F%3A%3F%23@192.168.1.20:554/stream2"
    assert gate.roi == (0.0, 0.35, 1.0, 1.0)
    assert (gate.classes, gate.conf) == (("person", "bicycle"), {"person": 0.6, "*": 0.45})
    assert gate.out == f"{file.parent}/recordings/"
    assert gate.live == LiveOptions(max_age_s=0.5)
    assert yard.location.target() == "rtsps://y.ard:%C3%B6%20%25@yard.example.net/live"
    assert yard.live == LiveOptions(transport="udp", every_frame=True)
    assert yard.conf == {"*": 0.4}
    assert "me:from-netrc@example.org" not in repr(street)
    assert street.live.open_timeout_s == 15
    assert desk.location.kind == "camera"
    assert desk.out == "rtsp://127.0.0.1:8554/desk"
    assert notes_on((gate, yard, street, desk)) == []


def test_the_command_speaks_where_the_file_is_silent(file: Path) -> None:
    netrc = file.with_name("netrc")
    netrc.write_text("machine 10.0.0.1 login me password from-netrc\n")
    file.write_text(GATE + '[camera.yard]\nurl = "rtsp://10.0.0.1/b"\nmax_age = "1s"\nnetrc = false\n')
    gate, yard = read_cameras(file, {}, live=LiveOptions(transport="udp", max_age_s=0.2), netrc=netrc)
    assert gate.live == LiveOptions(transport="udp", max_age_s=0.2)
    assert yard.live == LiveOptions(transport="udp", max_age_s=1)
    assert gate.location.target() == "rtsp://me:from-netrc@10.0.0.1/a"
    assert yard.location.target() == "rtsp://10.0.0.1/b"


def test_cameras_may_be_pushed_to_addresses_with_their_names(file: Path) -> None:
    two = GATE + '[camera.yard]\nurl = "rtsp://10.0.0.1/b"\n'
    assert len(read(file, 'out = "rtsp://server/{name}"\n' + two)) == 2
    assert "is the same" in mistake(file, 'out = "rtsp://server/live"\n' + two)
    assert "is the same" in mistake(file, 'out = "{name}.mp4"\n' + two)


def test_the_table_of_the_documentation_has_every_key_and_no_other() -> None:
    from streamdet.cli.cameras_file import KEYS

    page = DOCS.read_text()
    rows = re.findall(r"^\| (`.*?) \|", page, re.MULTILINE)
    assert {key for row in rows for key in re.findall(r"`(\w+)`", row)} == set(KEYS)


def test_a_camera_has_places_of_its_own_or_those_of_the_command(file: Path) -> None:
    common = PlaceRules(lines=(parse_line("all:0,0,1,1"),))
    (file.parent / "yard.toml").write_text("[zones]\nyard = [[0, 0], [9, 0], [9, 9]]\n")
    file.write_text(
        f"track = true\n{GATE}blur = ['person']\n[camera.gate.lines]\nentry = [100, 400, 500, 400]\n"
        '[camera.yard]\nurl = 0\nplaces = "yard.toml"\n[camera.desk]\nurl = 1\nblur = []\n'
    )
    gate, yard, desk = read_cameras(file, {}, analysis=AnalysisOptions(blur=("car",)), places=common)
    assert [line.name for line in gate.places.lines] == ["entry"]
    assert [zone.name for zone in yard.places.zones] == ["yard"]
    assert not yard.places.lines
    assert desk.places == common
    assert [camera.analysis.blur for camera in (gate, yard, desk)] == [("person",), ("car",), ()]
    assert desk.tracks
    file.write_text(file.read_text().replace("500, 400]", "500, 410]"))
    after = read_cameras(file, {}, analysis=AnalysisOptions(blur=("car",)), places=common)
    assert [camera.name for camera in compare_cameras((gate, yard, desk), after).changed] == ["gate"]


def test_paths_start_at_the_folder_of_the_file(file: Path) -> None:
    (file.parent / "filled").mkdir()
    [camera] = read(file, '[camera.a]\nurl = "filled"\nout = "b.mp4"\n')
    assert (camera.location.kind, camera.location.path) == ("folder", file.parent / "filled")
    assert camera.out == str(file.parent / "b.mp4")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            GATE + 'clases = ["person"]',
            "cameras.toml, line 3: unknown key 'clases' in [camera.gate]; did you mean 'classes'?",
        ),
        (
            "conff = 0.4\n" + GATE,
            "cameras.toml, line 1: unknown key 'conff'; did you mean 'conf'?",
        ),
        (
            "[cameras.gate]\nurl = 0",
            "cameras.toml, line 1: unknown key 'cameras'; did you mean 'camera'?",
        ),
        (
            GATE + "\n\nconf = 1.5",
            "cameras.toml, line 5: conf = 1.5 in [camera.gate] is no score between 0 and 1; give one such as 0.4",
        ),
        (
            GATE + "conf = { person = 2 }",
            'cameras.toml, line 3: conf = {"person": 2} in [camera.gate] has for person 2, which is no score between '
            "0 and 1; give one such as 0.4",
        ),
        (
            GATE + 'max_age = "5 parsecs"',
            'cameras.toml, line 3: max_age = "5 parsecs" in [camera.gate] is no time above 0; give seconds, or a text '
            'such as "500ms"',
        ),
        (
            GATE + 'transport = "quic"',
            'cameras.toml, line 3: transport = "quic" in [camera.gate] is unknown; give "tcp" or "udp"',
        ),
        (
            GATE + "every_frame = 1",
            "cameras.toml, line 3: every_frame = 1 in [camera.gate] is neither true nor false; write one of them, "
            "without quotes",
        ),
        (
            GATE + "roi = [0, 0, 1]",
            "cameras.toml, line 3: roi = [0, 0, 1] in [camera.gate] is no list of four numbers; give "
            "[x1, y1, x2, y2] in pixels or shares",
        ),
        (
            GATE + "roi = [9, 0, 5, 5]",
            "cameras.toml, line 3: roi = [9, 0, 5, 5] in [camera.gate] is empty or negative; give [x1, y1, x2, y2] "
            "with x2 > x1 >= 0 and y2 > y1 >= 0",
        ),
        (
            GATE + "classes = []",
            'cameras.toml, line 3: classes = [] in [camera.gate] is no list of names; write one such as ["person", '
            '"car"]',
        ),
        (
            GATE + 'password_env = "NO_SUCH"\n',
            'cameras.toml, line 3: password_env = "NO_SUCH" in [camera.gate] names an environment variable that is not '
            "set; set it before the start",
        ),
        (
            GATE + 'user = "a"\nuser_env = "B"',
            "cameras.toml, line 4: user_env in [camera.gate] and user exclude each other; leave one out",
        ),
        (
            '[camera.x]\nurl = 0\nuser = "a"',
            "cameras.toml, line 3: user in [camera.x] has no use there, as url is no address; leave it out",
        ),
        ('[camera.x]\nout = "a"', 'cameras.toml: url is missing in [camera.x]; add one such as url = "rtsp://..."'),
        (
            "",
            'cameras.toml names no camera; add a table such as [camera.gate] with url = "rtsp://..."',
        ),
        (
            'camera = ["gate"]',
            'cameras.toml, line 1: camera = ["gate"] is no table; write [camera] on its own line',
        ),
        (
            '[camera."a/b"]\nurl = 0',
            "cameras.toml: a camera can't be called 'a/b'; use up to 64 letters, digits, - and _",
        ),
        (
            GATE + 'out = "a.mp4"\n[camera.yard]\nurl = 0\nout = "a.mp4"',
            "cameras.toml: out of gate and yard is the same; give each its own, or a folder",
        ),
        ("[camera.gate]\nurl = rtsp", "cameras.toml, line 2: not TOML (Invalid value); texts need quotes, as in "),
    ],
)
def test_a_mistake_is_one_sentence_with_its_place(file: Path, text: str, sentence: str) -> None:
    assert mistake(file, text).startswith(sentence)


def test_a_file_that_is_not_there_or_no_text(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot read .*none.toml: no such file or directory; give a TOML file"):
        read_cameras(tmp_path / "none.toml", {})
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match=r"binary.toml is not UTF-8 text; save it as UTF-8"):
        read_cameras(binary, {})


@pytest.mark.parametrize(
    "text",
    [
        '[camera.a]\nurl = "admin:hunter2-x@10.0.0.1/a"\n',
        '[camera.a]\nurl = "nope://admin:hunter2-x@10.0.0.1/a"\n',
        '[camera.a]\nurl = ["rtsp://admin:hunter2-x@10.0.0.1/a"]\n',
        '[camera.a]\nurl = "rtsp://10.0.0.1/a"\npassword = ["hunter2-x"]\n',
        '[camera.a]\nurl = "rtsp://10.0.0.1/a"\nout = ["rtsp://a:hunter2-x@10.0.0.1/a"]\n',
        '[camera.a]\nurl = 0\npassword = "hunter2-x"\n',
        '[camera.a]\nurl = 0\nout = "rtsp://u:hunter2-x@h/a"\n[camera.b]\nurl = 1\nout = "rtsp://u:hunter2-x@h/a"\n',
    ],
)
def test_a_mistake_never_shows_a_password(file: Path, text: str) -> None:
    assert "hunter2" not in mistake(file, text)


def test_a_camera_never_shows_its_password(file: Path) -> None:
    text = '[camera.a]\nurl = "rtsp://10.0.0.1/a"\nuser = "u"\npassword = "hunter2-x"\nout = "rtsp://u:hunter2-x@h/a"'
    [camera] = read(file, text)
    assert "hunter2" in camera.location.target()
    assert "hunter2" not in repr(camera)


def test_a_password_in_a_file_that_others_may_read_is_noted(file: Path) -> None:
    text = '[camera.a]\nurl = "rtsp://u:secret-1@10.0.0.1/a"\n[camera.b]\nurl = "rtsp://10.0.0.1/a"\npassword = "s"\n'
    text += '[camera.c]\nurl = 0\nout = "rtsp://u:secret-2@10.0.0.1/a"\n[camera.d]\nurl = "rtsp://10.0.0.1/a"\n'
    assert notes_on(read(file, text)) == []
    file.chmod(0o644)
    [note] = notes_on(read(file, text))
    assert note == f"{file} holds passwords (a, b, c) and other users may read it: chmod 600 it, or use password_env"


def test_a_camera_s_own_credentials_replace_those_of_the_head(file: Path) -> None:
    head = 'user = "u"\npassword_env = "ALL"\n'
    cameras = '[camera.a]\nurl = "rtsp://h1/a"\n[camera.b]\nurl = "rtsp://h2/a"\nnetrc = "netrc"\n[camera.c]\nurl = 0\n'
    (file.parent / "netrc").write_text("machine h2 login u password other\n")
    a, b, c = read(file, head + cameras, ALL="one")
    assert a.location.target() == "rtsp://u:one@h1/a"
    assert b.location.target() == "rtsp://u:other@h2/a"
    assert c.location.kind == "camera"
    told = mistake(file, GATE + 'netrc = "missing"')
    assert told.endswith("/missing, which is not there; make or correct it")


def test_a_new_reading_tells_new_gone_changed_and_unchanged(file: Path) -> None:
    tables = {name: f'[camera.{name}]\nurl = "rtsp://h/{name}"\n' for name in "abcd"}
    before = read(file, tables["a"] + tables["b"] + tables["c"] + "password_env = 'P'\n", P="1")
    after = read(file, tables["d"] + tables["c"] + "password_env = 'P'\n" + tables["b"] + "conf = 0.5\n", P="2")
    changes = compare_cameras(before, after)
    names = [[camera.name for camera in some] for some in (changes.new, changes.gone, changes.changed)]
    assert names == [["d"], ["a"], ["c", "b"]]  # the password of c is another one
    assert changes.unchanged == ()
    assert compare_cameras(before, before).unchanged == before


def test_classes_that_the_model_does_not_know(file: Path) -> None:
    cameras = read(file, GATE + 'classes = ["persn"]')
    with pytest.raises(UsageError, match=r"classes of camera gate: m knows no class 'persn'; did you mean 'person'\?"):
        check_classes(cameras, ("person", "car"), "m")
    cameras = read(file, GATE + 'conf = {zebra = 0.5, "*" = 0.3}')
    with pytest.raises(UsageError, match=r"conf of camera gate: m knows no class 'zebra'; it knows person, car"):
        check_classes(cameras, ("person", "car"), "m")
