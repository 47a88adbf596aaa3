"""`streamdet report`: the page as a browser shows it, and how the command fails."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.browser import Tab, browser
from tests.cli.conftest import Streamdet
from tests.media import make_clip, test_picture

SIZE = (160, 120)
CLASSES = ("person", "car")
PLACES = {
    "lines": {"gate": [[10, 60], [80, 60]]},
    "zones": {"yard": [[80, 20], [150, 20], [150, 90], [80, 90]]},
    "bays": {"A1": [[10, 80], [40, 80], [40, 110], [10, 110]], "A2": [[45, 80], [75, 80], [75, 110], [45, 110]]},
}


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    with browser(tmp_path_factory.mktemp("browser")) as opened:
        yield opened


def write(
    path: Path,
    lines: Sequence[Mapping[str, Any]],
    header: Mapping[str, Any] | None = None,
    *,
    end: bool = True,
) -> Path:
    """A file of detections."""
    own = {"source": "clip.mp4", "width": SIZE[0], "height": SIZE[1]} if header is None else header
    texts: list[Mapping[str, Any]] = [{"type": "header", "schema": 1, "classes": CLASSES, **own}]
    texts += [{"type": "frame", "time_base": "1/25", "damaged": False, "boxes": [], **line} for line in lines]
    texts += [{"type": "end", "frames": len(lines), "complete": True}] * end
    path.write_text("".join(json.dumps(text) + "\n" for text in texts))
    return path


def box(x: float, kind: str = "car", **more: Any) -> dict[str, Any]:
    return {"box_xyxy": [x, 20, x + 30, 50], "class": kind, "score": 0.8, **more}


def everything(frames: int = 50) -> list[dict[str, Any]]:
    """Frames of a clip with tracks and places."""
    lines = []
    for i in range(frames):
        boxes = [box(i, track=1), box(100, "person", track=2, bridged=i % 10 == 3)][: 1 + (i > 5)]
        line: dict[str, Any] = {"index": i, "pts": i, "boxes": boxes}
        line |= {"lines": {"gate": {"in": {}, "out": {}}}, "zones": {"yard": {"person": int(i > 5)}}}
        line |= {"bays": {"A1": i > 20, "A2": None}}
        if i in (20, 30):
            line["happenings"] = [
                {"kind": "crossed", "place": "gate", "direction": "in", "class": "car", "track": 1},
                {"kind": "left", "place": "yard", "class": "person", "lasted_s": 1.2},
                {"kind": "entered", "place": "yard", "class": "person"},
            ]
        lines.append(line)
    return lines


def live(gap: range = range(40, 70)) -> list[dict[str, Any]]:
    """Two cameras, one of them without frames for a while."""
    lines = []
    for i in range(100):
        for name in ("front door", "yard"):
            if name == "yard" and i in gap:
                continue
            line = {"stream": name, "session": 0, "index": i, "pts": i, "utc_s": 1795604404.25 + i, "age_ms": 40.0}
            lines.append(line | {"boxes": [box(5 + i % 20), box(60)]})
    return lines


def pictures_of(page: str, kind: str = "jpeg") -> list[np.ndarray[Any, np.dtype[np.uint8]]]:
    """The pictures in a page, (H, W, 3)."""
    found = re.findall(rf"data:image/{kind};base64,([A-Za-z0-9+/=]+)", page)
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")) for data in found]


@pytest.fixture
def whole(streamdet: Streamdet, tmp_path: Path) -> Path:
    """A page with everything that there is."""
    clip = make_clip(tmp_path / "clip.mp4", frames=50, size=SIZE)
    detections = write(
        tmp_path / "clip.jsonl", everything(), {"source": "clip.mp4", "width": 160, "height": 120, "places": PLACES}
    )
    outcome = streamdet("report", detections, clip)
    assert outcome.exit_code == 0, outcome.err
    assert outcome.err.startswith("wrote clip.report.html: 50 frames, ")
    return tmp_path / "clip.report.html"


@pytest.mark.browser
@pytest.mark.parametrize("width", [1280, 375, 320])
@pytest.mark.parametrize("dark", [False, True])
def test_a_page_is_whole_on_every_screen_and_asks_for_nothing(whole: Path, tab: Tab, width: int, dark: bool) -> None:
    tab.open(whole, width=width, dark=dark)
    assert tab.evaluate("document.documentElement.scrollWidth") == width
    assert [url for url in tab.requests if not url.startswith("data:")] == [whole.as_uri()]
    assert tab.messages == []
    images = tab.evaluate("[...document.images].map(image => image.complete && image.naturalWidth > 1)")
    assert len(images) > 5
    assert all(images)
    # nothing lies outside of the page but what can be scrolled to
    outside = """[...document.querySelectorAll('main *')].filter(e => !e.closest('.scroll, .scene, svg, .when')
        && e.getBoundingClientRect().right > innerWidth + 1).map(e => e.outerHTML.slice(0, 80))"""
    assert tab.evaluate(outside) == []
    ink, paper = tab.evaluate(
        "[getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor]"
    )
    brightness = [sum(map(int, re.findall(r"\d+", colour)[:3])) for colour in (ink, paper)]
    assert (brightness[0] > brightness[1]) is dark


@pytest.mark.browser
def test_a_page_says_what_was_seen(whole: Path, tab: Tab) -> None:
    tab.open(whole, width=1280)
    text = tab.evaluate("document.body.innerText")
    for part in (
        "Detection report: clip.mp4", "✓ covered in full", "Objects over time", "Busiest moments", "Where objects were",
        "gate", "2 in · 0 out", "2 person", "At the end 1 of 2 bays was occupied, 0 free, 1 unknown.",
        "Followed objects", "The ways of 1 object that moved.", "What was covered, and what was not",
    ):  # fmt: skip
        assert part in text
    tiles = tab.evaluate("[...document.querySelectorAll('.tile')].map(tile => tile.innerText)")
    assert tiles[0].split("\n") == ["2 s", "50 frames"]
    assert tiles[1].split("\n") == ["car", "1", "seen; 1 at once on average, 1 at most"]
    strips = tab.evaluate("""[...document.querySelectorAll('.strip')].map(strip => [...strip.querySelectorAll('rect')]
        .map(rect => [rect.getAttribute('class'), +rect.getAttribute('x')]))""")
    assert strips == [[["free", 0], ["occupied", 428.6]], [["unknown", 0]]]


@pytest.mark.browser
def test_a_pointer_reads_all_charts_at_a_time(whole: Path, tab: Tab) -> None:
    tab.open(whole, width=1280)
    find = "[...document.querySelectorAll('.charts')].find(e => e.innerText.includes('person'))"
    tab.evaluate(f"{find}.scrollIntoView({{block: 'center'}})")
    left, top, wide, high = tab.evaluate(f"(r => [r.left, r.top, r.width, r.height])({find}.getBoundingClientRect())")
    tab.move_pointer(left + wide * 0.6, top + high / 2)
    read = f"[...{find}.querySelectorAll('output, .when')].map(e => e.hidden ? 'hidden' : e.innerText)"
    assert tab.evaluate(read) == ["1", "1", "0:01.1"]
    tab.move_pointer(2, 2)
    assert tab.evaluate(read) == ["", "", "hidden"]


@pytest.mark.browser
def test_heat_of_one_class_shows_alone(whole: Path, tab: Tab) -> None:
    tab.open(whole, width=375)
    visible = "[...document.querySelectorAll('.heats img')].map(image => getComputedStyle(image).visibility)"
    assert tab.evaluate(visible) == ["visible", "hidden", "hidden"]
    tab.evaluate("[...document.querySelectorAll('.choice label')].at(-1).scrollIntoView({block: 'center'})")
    x, y = tab.evaluate("(r => [r.x + r.width / 2, r.y + r.height / 2])"
                        "([...document.querySelectorAll('.choice label')].at(-1).getBoundingClientRect())")  # fmt: skip
    tab.click(x, y)
    assert tab.evaluate(visible) == ["hidden", "hidden", "visible"]


@pytest.mark.browser
def test_names_are_text_whatever_they_hold(streamdet: Streamdet, tmp_path: Path, tab: Tab) -> None:
    evil = "\"'><img src=x onerror=alert(1)><script>alert(2)</script>&amp;"
    lines = [
        {"stream": evil, "session": 0, "index": i, "pts": i, "utc_s": 1e9 + i, "zones": {evil: {evil: 1}},
         "bays": {evil: True}, "lines": {evil: {}}, "boxes": [box(20, evil, track=1)],
         "happenings": [{"kind": "crossed", "place": evil, "direction": "in", "class": evil}]}
        for i in range(5)
    ]  # fmt: skip
    places = {evil: {"lines": {evil: [[0, 0], [9, 9]]}, "bays": {evil: [[0, 0], [9, 0], [9, 9]]}}}
    header = {"sources": [evil], "classes": [evil], "model": evil, "places": places, "tracking": {evil: evil}}
    detections = write(tmp_path / "evil.jsonl", lines, header)
    assert streamdet("report", detections).exit_code == 0
    tab.open(tmp_path / "evil.report.html", width=375)
    assert tab.messages == []
    assert tab.evaluate("document.title") == f"Detection report: {evil}"
    assert tab.evaluate("document.querySelectorAll('[onerror], script').length") == 1
    assert tab.evaluate("document.documentElement.scrollWidth") == 375


@pytest.mark.browser
def test_cameras_are_views_and_a_gap_is_no_zero(streamdet: Streamdet, tmp_path: Path, tab: Tab) -> None:
    detections = write(tmp_path / "live.jsonl", live(), {"sources": ["front door", "yard"]}, end=False)
    outcome = streamdet("report", detections, "--utc")
    assert outcome.exit_code == 0
    assert "live.jsonl has no end line: the run that wrote it was killed" in outcome.err
    tab.open(tmp_path / "live.report.html", width=375)
    text = tab.evaluate("document.body.innerText")
    assert "Detection report: 2 views" in text
    assert "Covers only a part · 1 gap, 31 s without frames · 30 frames not looked at" in text
    assert "25 November 2026, 11:00 to 11:01. Times are UTC." in text
    assert tab.evaluate("[...document.querySelectorAll('nav a')].map(a => a.innerText)") == ["front door", "yard"]
    door, yard = tab.evaluate("""[...document.querySelectorAll('.charts')].map(charts =>
        [...charts.querySelectorAll('.plot .line')].map(path => path.getAttribute('d')))""")
    assert (len(door), len(yard)) == (1, 2)
    heights = {float(y) for path in yard for _, y in re.findall(r"([\d.]+) ([\d.]+)", path)}
    assert heights == {0}, "two cars, always"
    left, wide = tab.evaluate("""(e => [e.offsetLeft / e.parentElement.offsetWidth,
        e.offsetWidth / e.parentElement.offsetWidth])(document.querySelectorAll('.charts')[1].querySelector('.gap'))""")
    assert left == pytest.approx(39 / 99, abs=0.01)
    assert wide == pytest.approx(31 / 99, abs=0.01)


def test_pictures_are_those_of_the_moments(whole: Path) -> None:
    page = whole.read_text(encoding="utf-8")
    background, *shots = pictures_of(page)
    assert len(shots) >= 5
    truth = [test_picture(i, SIZE).astype(int) for i in range(50)]

    def index_of(picture: np.ndarray[Any, np.dtype[np.uint8]]) -> int:
        assert picture.shape == (120, 160, 3)
        return int(np.argmin([np.abs(picture - other).mean() for other in truth]))

    # the quietest frame is the first one; the busiest ones have both objects
    assert index_of(background) == 0
    assert all(index_of(picture) > 5 for picture in shots)


def test_recordings_of_cameras_give_pictures_of_the_second(streamdet: Streamdet, tmp_path: Path) -> None:
    lines = [line for line in live() if line["stream"] == "front door"]
    for i in (30, 31, 80):  # two crowds
        lines[i]["boxes"] = [box(5 * j) for j in range(9)]
    detections = write(tmp_path / "live.jsonl", lines, {"sources": ["front door"]})
    # a picture a second; the second file begins 50 s after the first
    first = make_clip(tmp_path / "front-door_2026-11-25T11-00-04Z.mp4", frames=50, size=SIZE, rate=1)
    second = make_clip(tmp_path / "front-door_2026-11-25T11-00-54Z.mp4", frames=50, size=SIZE, rate=1)
    outcome = streamdet("report", detections, second, first)
    assert outcome.exit_code == 0, outcome.err
    page = (tmp_path / "live.report.html").read_text(encoding="utf-8")
    _, *shots = pictures_of(page)
    truth = [test_picture(i, SIZE).astype(int) for i in range(50)]
    found = [int(np.argmin([np.abs(picture - other).mean() for other in truth])) for picture in shots[:2]]
    assert found[0] in (29, 30, 31)
    assert found[1] in (29, 30, 31), "80 s after the beginning is 30 s into the second file"
    assert not re.search(r'class="shots">.*?<rect.*?Where objects were', page, re.DOTALL), "they are annotated already"
    blurred = streamdet("report", detections, first, "--blur", "car", "--overwrite")
    assert blurred.exit_code == 2
    assert "--blur can't reach into recordings of cameras" in blurred.err


def test_the_page_of_a_run(streamdet: Streamdet, clip: Path, model_file: Path, tmp_path: Path) -> None:
    run = (
        "run",
        clip,
        "--model",
        model_file,
        "--no-video",
        "--jsonl",
        "boxes.jsonl",
        "--report",
        "run.json",
        "--track",
    )
    assert streamdet(*run).exit_code == 0
    outcome = streamdet("report", "boxes.jsonl", clip, "--receipt", "run.json", "--out", "page.html")
    assert outcome.exit_code == 0, outcome.err
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "Complete: 50 frames detected, every frame accounted for." in page
    again = streamdet("report", "boxes.jsonl", clip, "--receipt", "run.json", "--out", "again.html")
    assert again.exit_code == 0
    assert (tmp_path / "again.html").read_text(encoding="utf-8") == page


def test_what_a_run_blurred_is_blurred_in_pictures(streamdet: Streamdet, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4", frames=10, size=SIZE)
    lines = [{"index": i, "pts": i, "boxes": [box(60, "person"), box(110)]} for i in range(10)]
    header = {"source": "clip.mp4", "width": 160, "height": 120}
    sharp = write(tmp_path / "sharp.jsonl", lines, header)
    told = write(tmp_path / "told.jsonl", lines, header | {"blur": ["person"]})
    for name, detections, more in (("a", sharp, ()), ("b", told, ()), ("c", sharp, ("--blur", "person"))):
        assert streamdet("report", detections, clip, "--out", f"{name}.html", *more).exit_code == 0
    clear, by_header, by_option = (pictures_of((tmp_path / f"{name}.html").read_text()) for name in "abc")
    for before, after, again in zip(clear, by_header, by_option, strict=True):
        person, car = (slice(22, 48), slice(62, 88)), (slice(22, 48), slice(122, 138))
        assert after[person].std() < 0.5 * before[person].std()
        assert np.abs(after[car].astype(int) - before[car]).mean() < 3
        assert np.array_equal(after, again)


def test_old_and_empty_files_have_pages(streamdet: Streamdet, tmp_path: Path) -> None:
    write(tmp_path / "old.jsonl", [{"index": i, "pts": i, "boxes": [box(20)]} for i in range(3)])
    write(tmp_path / "none.jsonl", [])
    write(tmp_path / "nothing.jsonl", [{"index": i, "pts": i} for i in range(3)])
    for name, words in (("old", "1 at once"), ("none", "no frames"), ("nothing", "No object of person and car")):
        assert streamdet("report", f"{name}.jsonl").exit_code == 0
        page = (tmp_path / f"{name}.report.html").read_text(encoding="utf-8")
        assert words in page
        assert "Followed objects" not in page


@pytest.mark.parametrize(
    ("arguments", "exit_code", "sentence"),
    [
        (["no.jsonl"], 1, "cannot read detections from no.jsonl: No such file or directory"),
        (["text.jsonl"], 1, "text.jsonl, line 1: no header; this is not a file that streamdet --jsonl wrote"),
        (["d.jsonl", "--out", "text.jsonl"], 2, "text.jsonl exists already; add --overwrite to replace it"),
        (["d.jsonl", "--out", "no/page.html"], 1, "there is no folder no to write page.html in"),
        (["d.jsonl", "no.mp4"], 3, "there is no file or folder no.mp4: check the spelling of the path"),
        (["d.jsonl", "big.mp4"], 2, "big.mp4 is 320x240 and the detections are of a video of 160x120"),
        (["d.jsonl", "clip.mp4", "other.mp4"], 2, "none of the detections is about other.mp4; they are about clip.mp4"),
        (["d.jsonl", "--receipt", "d.jsonl"], 1, "d.jsonl is not JSON"),
        (["d.jsonl", "--blur", "cat"], 2, "--blur cat: the detections know person, car; choose among these"),
    ],
)
def test_errors_say_what_to_do(
    streamdet: Streamdet, tmp_path: Path, arguments: list[str], exit_code: int, sentence: str
) -> None:
    write(tmp_path / "d.jsonl", [{"index": 0, "pts": 0}, {"index": 1, "pts": 1}])
    (tmp_path / "text.jsonl").write_text("{}\n")
    make_clip(tmp_path / "big.mp4", frames=3, size=(320, 240))
    make_clip(tmp_path / "clip.mp4", frames=3, size=SIZE)
    make_clip(tmp_path / "other.mp4", frames=3, size=SIZE)
    outcome = streamdet("report", *arguments)
    assert outcome.exit_code == exit_code
    assert sentence in outcome.err.replace("\n", " ")
    assert not (tmp_path / "d.report.html").exists()
