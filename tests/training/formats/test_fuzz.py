"""300 broken label files of all formats: each gives data sets, or one DataError of one line that names the file."""

from __future__ import annotations

import copy
import json
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from streamdet.errors import DataError
from streamdet.training.formats.coco import read_coco
from streamdet.training.formats.find import COCO, CSV, JSONL, VOC, YOLO, find_sets
from streamdet.training.formats.placing import link_picture
from streamdet.training.formats.write import write_sets
from streamdet.training.problems import Problem
from tests.rectangles import write_set

FILES = {
    COCO: ["train.json", "val.json"],
    YOLO: ["data.yaml", "labels/train/train_0.txt"],
    VOC: ["Annotations/train_0.xml", "classes.txt", "ImageSets/Main/train.txt"],
    CSV: ["train.csv", "classes.csv"],
    JSONL: ["train.jsonl"],
}
ODD = [
    "nan",
    "NaN",
    "inf",
    "-Infinity",
    "1e999",
    "-5",
    "0",
    "9" * 400,
    "0x" + "F" * 5000,
    "null",
    "true",
    "[]",
    "{}",
    '""',
]
ODD += [
    "yes",
    "2024-13-45",
    "!!timestamp x",
    "!!int ''",
    "*a",
    "&a [*a]",
    "\x00",
    "\u2028",
    "\ud7ff",
    "💥" * 50,
    "../../../etc",
]
VALUES: list[Any] = [
    None,
    True,
    -1,
    0,
    0.5,
    1e308,
    10**400,
    "",
    "x" * 5000,
    "a\nb",
    "a\0b",
    [],
    {},
    [[[]]],
    {"a": {}},
    [1, 2],
]

Break = Callable[[random.Random, bytes], bytes]


def flip_bytes(rng: random.Random, content: bytes) -> bytes:
    broken = bytearray(content)
    for _ in range(rng.randint(1, 12)):
        broken[rng.randrange(len(broken))] = rng.randrange(256)
    return bytes(broken)


def cut(rng: random.Random, content: bytes) -> bytes:
    return content[: rng.randrange(len(content))]


def cut_out(rng: random.Random, content: bytes) -> bytes:
    start = rng.randrange(len(content))
    return content[:start] + content[start + rng.randint(1, 80) :]


def replace_words(rng: random.Random, content: bytes) -> bytes:
    words = re.split(r"([\w.]+)", content.decode())
    for _ in range(rng.randint(1, 3)):
        words[rng.randrange(1, len(words), 2)] = rng.choice(ODD)
    return "".join(words).encode()


def shuffle_lines(rng: random.Random, content: bytes) -> bytes:
    lines = content.split(b"\n")
    rng.shuffle(lines)
    return b"\n".join(lines)


def repeat(rng: random.Random, content: bytes) -> bytes:
    return content * rng.randint(2, 3)


def encode_otherwise(rng: random.Random, content: bytes) -> bytes:
    return content.decode().encode(rng.choice(["utf-16", "utf-16-be", "utf-32", "utf-7", "cp037"]))


def substitute(rng: random.Random, content: bytes) -> bytes:
    laughs = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    aliases = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 10))
    return rng.choice(
        [
            b"",
            b"\n\n",
            b"\xef\xbb\xbf",
            b"[" * 900,  # more is no more to a JSON reader, and a long wait in a YAML one
            b'{"images": ' * 100_000,
            b"<annotation>" * 5000,
            b"- " * 3000,
            f'<!DOCTYPE x [<!ENTITY l0 "ha">{laughs}]><annotation><object>&l9;</object></annotation>'.encode(),
            f"{aliases}names: *a9\ntrain: *a9\n".encode(),
            b"names: [car]\ntrain: *nothing\n",
            b'{"images": [], "annotations": [], "categories": []}',
            b'{"type": "header", "schema": 1, "classes": []}\n',
            b'{"type": "header", "schema": 1, "classes": ["car"], "source": [3]}\n[]\n{"type": "frame"}\n',
            b"\x89PNG\r\n\x1a\n" + bytes(range(256)),
            b"," * 1000,
            b'"',
            b"0 " * 10_000,
            b"path,x1,y1,x2,y2,class\n",
        ]
    )


def change_json(rng: random.Random, content: bytes) -> bytes:
    """Another value, a missing key or an entry too many, anywhere in the file or, for JSON lines, in a line."""
    lines = content.decode().splitlines()
    whole = not content.startswith(b'{"type"')
    place = rng.randrange(len(lines))
    parsed = json.loads(content if whole else lines[place])
    for _ in range(rng.randint(1, 3)):
        node = parsed
        while True:
            keys = list(node) if isinstance(node, dict) else list(range(len(node)))
            if not keys:
                break
            key = rng.choice(keys)
            if isinstance(node[key], (dict, list)) and rng.random() < 0.8:
                node = node[key]
                continue
            if rng.random() < 0.3:
                del node[key]
            else:
                node[key] = copy.deepcopy(rng.choice(VALUES))
            break
    if whole:
        return json.dumps(parsed).encode()
    lines[place] = json.dumps(parsed)
    return "\n".join(lines).encode()


GENERAL: list[Break] = [flip_bytes, cut, cut_out, replace_words, replace_words, shuffle_lines, repeat, encode_otherwise]
GENERAL += [substitute, substitute]


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of each format."""
    folder = tmp_path_factory.mktemp("good")
    sets = {name: read_coco(write_set(folder / "source" / f"{name}.json", 3)) for name in ("train", "val")}
    for kind in FILES:
        write_sets(kind, sets, folder / kind, place=link_picture)
        find_sets(folder / kind)
    return folder


@pytest.mark.parametrize("kind", FILES)
def test_broken_label_files(good: Path, kind: str) -> None:
    rng = random.Random(kind)
    errors = 0
    for number in range(60):  # of each of five formats
        path = good / kind / rng.choice(FILES[kind])
        content = path.read_bytes()
        breaks = GENERAL + [change_json] * 5 if kind in (COCO, JSONL) else GENERAL
        try:
            broken = rng.choice(breaks)(rng, content)
            path.write_bytes(broken)
            errors += is_refused(good / kind, path, f"{number}: {broken[:300]!r}")
        finally:
            path.write_bytes(content)
    assert errors >= 30  # most breaks break something
    assert find_sets(good / kind).format == kind


def is_refused(folder: Path, path: Path, note: str) -> bool:
    """Whether there is an error, which then is clear; and whether all problems can be gathered too."""
    problems: list[Problem] = []
    fatal: list[DataError] = []
    try:
        find_sets(folder, complain=problems.append)
    except DataError as error:
        fatal = [error]
    sentences = [str(problem) for problem in problems] + [str(error) for error in fatal]
    # a list or classes that are broken show where they are used
    blamed = [*folder.rglob("*.*"), path]
    for sentence in sentences:
        assert sentence.isprintable(), note
        assert any(str(file) in sentence for file in blamed), note
        assert len(sentence) < 1500, note
    if any(problem.is_error for problem in problems) or fatal:
        with pytest.raises(DataError) as caught:
            find_sets(folder)
        assert str(caught.value) in sentences
        return True
    found = find_sets(folder)
    assert found.training + found.validation
    return False
