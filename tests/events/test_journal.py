from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest

from streamdet.errors import OutputError
from streamdet.events.cursor import Cursor
from streamdet.events.journal import Journal, Place, file_numbers, path_of


def message(number: int, source: str = "gate") -> dict[str, object]:
    return {"type": "event", "source": source, "number": number, "kind": "crossed"}


def lines_of(folder: Path) -> list[dict[str, Any]]:
    paths = [path_of(folder, number) for number in file_numbers(folder)]
    return [json.loads(line) for path in paths for line in path.read_bytes().splitlines()]


def numbers_of(folder: Path, source: str = "gate") -> list[int]:
    return [line["number"] for line in lines_of(folder) if line.get("source") == source and line["type"] == "event"]


def read_all(cursor: Cursor) -> list[int]:
    numbers = []
    while (entry := cursor.next()) is not None:
        numbers.append(entry.fields["number"])
        cursor.done(entry)
    return numbers


def test_numbers_go_on_where_an_earlier_run_ended(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    assert journal.begin("gate") == 0
    assert journal.append([message(1), message(2), message(1, "yard")])
    first_id = journal.id_of("gate", 1)
    journal.close()
    journal = Journal(tmp_path)
    assert (journal.begin("gate"), journal.begin("yard"), journal.begin("new")) == (2, 1, 0)
    assert journal.id_of("gate", 1) == first_id
    journal.close()
    ids = [line["id"] for line in lines_of(tmp_path) if line["type"] == "event"]
    assert len(set(ids)) == 3
    assert ids[0] == first_id


def test_a_line_that_a_kill_cut_off_is_gone_and_what_stood_before_it_is_not(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.append([message(1), message(2)])
    journal.close()
    path = path_of(tmp_path, 1)
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"type": "event", "source": "gate", "num')
    journal = Journal(tmp_path)
    assert path.read_bytes() == whole
    assert journal.last_number("gate") == 2
    journal.append([message(3)])
    journal.close()
    assert numbers_of(tmp_path) == [1, 2, 3]


def test_a_run_that_goes_on_writes_no_event_twice(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.append([message(1), message(2)])
    assert journal.begin("gate") == 2
    journal.append([message(3), message(4), message(5)])
    journal.close()
    journal = Journal(tmp_path)
    assert journal.begin("gate", again=True) == 2
    journal.append([message(3), message(4)])
    journal.append([message(5), message(6)])
    journal.close()
    assert numbers_of(tmp_path) == [1, 2, 3, 4, 5, 6]


def test_new_files_begin_and_numbers_are_carried_over(tmp_path: Path) -> None:
    journal = Journal(tmp_path, file_bytes=500)
    cursor = Cursor(journal, tmp_path / "delivered-a.txt")
    journal.append([message(1, "yard")])
    for number in range(1, 41):
        journal.append([message(number)])
    assert len(file_numbers(tmp_path)) > 4
    assert read_all(cursor) == [1, *range(1, 41)]
    cursor.close()
    journal.close()
    journal = Journal(tmp_path, file_bytes=500)
    assert (journal.last_number("gate"), journal.last_number("yard")) == (40, 1)
    journal.close()


def test_a_receiver_goes_on_where_it_was_and_a_new_one_begins_now(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    old = Cursor(journal, tmp_path / "delivered-old.txt")
    journal.append([message(number) for number in range(1, 6)])
    for _ in range(2):
        entry = old.next()
        assert entry is not None
        old.done(entry)
    assert old.next() == old.next()
    old.close()
    journal.close()
    journal = Journal(tmp_path)
    old, new = Cursor(journal, tmp_path / "delivered-old.txt"), Cursor(journal, tmp_path / "delivered-new.txt")
    journal.append([message(6)])
    assert (read_all(old), read_all(new)) == ([3, 4, 5, 6], [6])
    old.close()
    new.close()
    journal.close()


@pytest.mark.parametrize("record", [b"", b"nonsense", b"99 5 7\n", b"-1 -5\n"])
def test_a_place_that_was_spoilt_means_the_beginning(record: bytes, tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.append([message(1), message(2)])
    path = tmp_path / "delivered-a.txt"
    path.write_bytes(record)
    cursor = Cursor(journal, path)
    assert read_all(cursor) == [1, 2]
    cursor.close()
    journal.close()


def test_a_journal_whose_old_files_were_deleted_goes_on_with_the_rest(tmp_path: Path) -> None:
    journal = Journal(tmp_path, file_bytes=300)
    cursor = Cursor(journal, tmp_path / "delivered-a.txt")
    for number in range(1, 21):
        journal.append([message(number)])
    for number in file_numbers(tmp_path)[:3]:
        path_of(tmp_path, number).unlink()
    left = numbers_of(tmp_path)
    assert 0 < len(left) < 20
    assert read_all(cursor) == left
    cursor.close()
    journal.close()


def test_events_wait_in_memory_while_the_disk_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(tmp_path)
    cursor = Cursor(journal, tmp_path / "delivered-a.txt")
    really = os.pwrite

    def torn(handle: int, content: bytes, offset: int) -> int:
        if b"gate" not in content:
            return really(handle, content, offset)
        really(handle, content[:10], offset)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", torn)
    assert not journal.append([message(1)])
    assert not journal.append([message(2)])
    assert (cursor.next(), journal.waiting) == (None, 2)
    assert path_of(tmp_path, 1).read_bytes().endswith(b"\n")
    monkeypatch.undo()
    assert journal.append([message(3)])
    assert read_all(cursor) == numbers_of(tmp_path) == [1, 2, 3]
    monkeypatch.setattr(os, "pwrite", torn)
    journal.append([message(4)])
    with pytest.raises(OutputError, match="1 events could not be written to"):
        journal.close()
    cursor.close()


def test_a_disk_that_can_not_remember_places_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(tmp_path)
    cursor = Cursor(journal, tmp_path / "delivered-a.txt")
    journal.append([message(1), message(2)])
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", lambda *_: os.close(-1))  # EBADF
        assert read_all(cursor) == [1, 2]
    cursor.close()
    cursor = Cursor(journal, tmp_path / "delivered-a.txt")
    assert read_all(cursor) == [1, 2]
    cursor.close()
    journal.close()


def test_a_file_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    path_of(tmp_path, 1).write_text('{"something": "else"}\n')
    with pytest.raises(OutputError, match="does not begin with a header"):
        Journal(tmp_path)
    assert path_of(tmp_path, 1).read_text() == '{"something": "else"}\n'


def test_places_are_ordered_as_they_were_written() -> None:
    assert Place(1, 500) < Place(2, 0) < Place(2, 1)
