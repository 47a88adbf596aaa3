"""The file of cameras, `streamdet run --config cameras.toml`: a table per camera. Its form: docs/cameras.md."""

from __future__ import annotations

import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from streamdet.cli.analysing import read_place_file
from streamdet.cli.cameras import NAME, CameraOptions
from streamdet.cli.toml_table import Table, TomlFile, is_number
from streamdet.errors import StreamdetError, UsageError
from streamdet.options import OTHERS, AnalysisOptions, LiveOptions, Transport
from streamdet.results.places import PlaceRules, read_places
from streamdet.video.base import printable
from streamdet.video.location import Location, parse_location
from streamdet.video.redaction import secrets_in

USER_KEYS = ("user", "user_env")
PASSWORD_KEYS = ("password", "password_env", "netrc")
LIVE_KEYS = ("transport", "max_age", "every_frame", "open_timeout", "read_timeout")
PLACE_KEYS = ("places", "lines", "zones", "bays", "ground", "anchor")
KEYS = ("url", *USER_KEYS, *PASSWORD_KEYS, "roi", "classes", "conf", "track", *PLACE_KEYS, "blur", "out", *LIVE_KEYS)
LONGEST_NAME = 64


def read_cameras(
    path: Path,
    environment: Mapping[str, str],
    *,
    live: LiveOptions | None = None,
    netrc: Path | None = None,
    analysis: AnalysisOptions | None = None,
    places: PlaceRules | None = None,
) -> tuple[CameraOptions, ...]:
    """The cameras in the file, in its order; where it says nothing, `live`, `netrc`, `analysis` and `places` hold.

    Raises:
        UsageError: the file can't be read, or something in it is wrong.
        DataError: a file of bays that it names can't be read, or something in it is wrong.
    """
    file = TomlFile(path)
    head = file.table()
    head.check_keys([*(key for key in KEYS if key != "url" and key not in PLACE_KEYS), "camera"])
    names = list(file.table("camera").values)
    if not names:
        raise UsageError(f'{file.name} names no camera; add a table such as [camera.gate] with url = "rtsp://..."')
    defaults = _Defaults(live or LiveOptions(), netrc, analysis or AnalysisOptions(), places or PlaceRules())
    cameras = tuple(_Reader(head, file.table("camera", name), environment, defaults).camera(name) for name in names)
    _check_outputs(file, cameras)
    return cameras


@dataclass(frozen=True)
class _Defaults:
    """What the command says, for where the file is silent."""

    live: LiveOptions
    netrc: Path | None
    analysis: AnalysisOptions
    places: PlaceRules


class _Reader:
    """Reads one camera: what its table doesn't say, the head of the file may."""

    def __init__(self, head: Table, own: Table, environment: Mapping[str, str], defaults: _Defaults) -> None:
        self._head = head
        self._defaults = defaults
        self._own = own
        self._environment = environment
        self._folder = own.file.path.parent

    def camera(self, name: str) -> CameraOptions:
        own = self._own
        own.check_keys(KEYS)
        self._check_name(name)
        location, exposed = self._location()
        roi, classes, conf = (self._table(key) for key in ("roi", "classes", "conf"))
        out = self._out()
        return CameraOptions(
            name=name,
            location=location,
            roi=_region(roi) if roi else None,
            classes=classes.names("classes") if classes else None,
            conf=_scores(conf) if conf else {},
            analysis=self._analysis(),
            places=self._places(),
            out=out,
            live=self._live(),
            exposed_in=own.file.path if (exposed or secrets_in(out or "")) and others_may_read(own.file.path) else None,
        )

    def _table(self, *keys: str) -> Table | None:
        """The nearest table that has one of `keys`."""
        return next((table for table in (self._own, self._head) if any(key in table for key in keys)), None)

    def _check_name(self, name: str) -> None:
        # it becomes part of file names
        if not re.fullmatch(r"[\w ()+,@#-][\w .()+,@#-]*", name) or name != name.strip() or len(name) > LONGEST_NAME:
            shown = printable(name)[: LONGEST_NAME + 1]
            raise UsageError(
                f"{self._own.file.name}: a camera can't be called {shown!r}; use up to {LONGEST_NAME} letters, digits, "
                "- and _"
            )

    def _location(self) -> tuple[Location, bool]:
        """Where the camera is, and whether its password stands in the file."""
        own = self._own
        if "url" not in own:
            raise UsageError(f'{own.file.name}: url is missing{own.title}; add one such as url = "rtsp://..."')
        value = own.values["url"]
        is_index = isinstance(value, int) and not isinstance(value, bool) and value >= 0
        url = str(value) if is_index else own.text("url", secret=True)
        extra = next((key for key in (*USER_KEYS, *PASSWORD_KEYS) if key in own), None)
        if extra is not None and "://" not in url:
            raise own.error(extra, "", "has no use there, as url is no address; leave it out", secret=True)
        user, password, netrc, in_file = self._credentials() if "://" in url else (None, None, None, False)
        try:
            location = parse_location(url, user=user, password=password, netrc=netrc)
            if location.path is not None and location.kind != "camera":
                location = parse_location(self._placed(url))
        except StreamdetError as error:
            raise own.error("url", "", f"is wrong: {error}", secret=True) from None
        if location.kind == "file":
            wrong = "is no live source and no folder; run files on their own, without --config"
            raise own.error("url", "", f"({location.name}) {wrong}", secret=True)
        return location, in_file or bool(secrets_in(url))

    def _credentials(self) -> tuple[str | None, str | None, Path | None, bool]:
        """User, password, netrc file, and whether the password stands in the file."""
        user = password = None
        netrc = self._defaults.netrc
        in_file = False
        if (table := self._table(*USER_KEYS)) is not None:
            key = _only_one(table, USER_KEYS)
            user = table.text(key) if key == "user" else self._from_environment(table, key)
        if (table := self._table(*PASSWORD_KEYS)) is not None:
            key = _only_one(table, PASSWORD_KEYS)
            netrc, in_file = (self._netrc(table) if key == "netrc" else None), key == "password"
            if key != "netrc":
                password = table.text(key, secret=True) if in_file else self._from_environment(table, key)
        return user, password, netrc, in_file

    def _from_environment(self, table: Table, key: str) -> str:
        variable = table.text(key)
        if variable not in self._environment:
            raise table.error(key, variable, "names an environment variable that is not set; set it before the start")
        return self._environment[variable]

    def _netrc(self, table: Table) -> Path | None:
        value = table.values["netrc"]
        if value is False:
            return None
        if value is True:
            usual = self._environment.get("NETRC") or str(Path(self._environment.get("HOME", "~")) / ".netrc")
            path = Path(usual).expanduser()
        else:
            path = Path(self._placed(table.text("netrc")))
        if not path.is_file():
            raise table.error(
                "netrc", value, f"asks for {printable(str(path))}, which is not there; make or correct it"
            )
        return path

    def _out(self) -> str | None:
        table = self._table("out")
        return None if table is None else self._placed(table.text("out", secret=True))

    def _placed(self, text: str) -> str:
        """`text` as it is when it is an address or an absolute path; else a path from the folder of the TOML file."""
        if "://" in text or text == "-":
            return text
        path = self._folder / Path(text).expanduser()
        return f"{path}/" if text.endswith("/") else str(path)

    def _analysis(self) -> AnalysisOptions:
        options = self._defaults.analysis
        if (table := self._table("track")) is not None:
            options = replace(options, track=table.switch("track"))
        if (table := self._table("blur")) is not None:
            # an empty list: nobody, whatever the command says
            options = replace(options, blur=table.names("blur") if table.values["blur"] != [] else (), blur_only=False)
        return options

    def _places(self) -> PlaceRules:
        """A camera that has places of its own has no others: each looks at another piece of ground."""
        own = self._own
        given = {key: own.values[key] for key in PLACE_KEYS if key in own and key != "places"}
        rules = read_places(given, f"{own.file.name}{own.title}", self._folder) if given else PlaceRules()
        if "places" in own:
            rules = rules + read_place_file(Path(self._placed(own.text("places"))))
        return rules or self._defaults.places

    def _live(self) -> LiveOptions:
        choices: dict[str, Any] = {}
        for key in LIVE_KEYS:
            table = self._table(key)
            if table is None:
                continue
            if key == "transport":
                choices[key] = cast(Transport, table.choice(key, ("tcp", "udp")))
            elif key == "every_frame":
                choices[key] = table.switch(key)
            else:
                choices[f"{key}_s"] = table.seconds(key)
        return replace(self._defaults.live, **choices)


def _only_one(table: Table, keys: tuple[str, ...]) -> str:
    there = [key for key in keys if key in table]
    if len(there) > 1:
        raise table.error(there[1], "", f"and {there[0]} exclude each other; leave one out", secret=True)
    return there[0]


def _region(table: Table) -> tuple[float, float, float, float]:
    value = table.values["roi"]
    if not isinstance(value, list) or len(value) != 4 or not all(is_number(corner) for corner in value):
        raise table.error("roi", value, "is no list of four numbers; give [x1, y1, x2, y2] in pixels or shares")
    x1, y1, x2, y2 = (float(corner) for corner in value)
    if not (0 <= x1 < x2 < float("inf") and 0 <= y1 < y2 < float("inf")):
        raise table.error(
            "roi", value, "is empty or negative; give [x1, y1, x2, y2] with x2 > x1 >= 0 and y2 > y1 >= 0"
        )
    return x1, y1, x2, y2


def _scores(table: Table) -> dict[str, float]:
    value = table.values["conf"]
    scores = value if isinstance(value, dict) else {OTHERS: value}
    for name, score in scores.items():
        if not is_number(score) or not 0 < score < 1:
            whose = "" if name == OTHERS else f" has for {printable(name)} {score!r}, which"
            raise table.error("conf", value, f"{whose} is no score between 0 and 1; give one such as 0.4".strip())
    return {name: float(score) for name, score in scores.items()}


def others_may_read(path: Path) -> bool:
    """True when more users than its owner may read the file."""
    return bool(path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH))


def _check_outputs(file: TomlFile, cameras: tuple[CameraOptions, ...]) -> None:
    """Two cameras may share a folder, but no file and no stream."""
    used: dict[str, str] = {}
    for camera in cameras:
        out = camera.out
        if out is None:
            continue
        is_address = "://" in out
        if NAME in out if is_address else (out.endswith("/") or not Path(out).suffix):
            continue
        if out in used:
            raise UsageError(
                f"{file.name}: out of {used[out]} and {camera.name} is the same; give each its own, or a folder"
            )
        used[out] = camera.name
