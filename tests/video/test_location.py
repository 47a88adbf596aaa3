"""What a source's name means: what FFmpeg opens, and what may be shown."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pickle
import random
from pathlib import Path

import av
import av.error
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamdet.errors import UsageError
from streamdet.video.location import Location, parse_location
from tests.video.addresses import digest_is_right, login_server, sample


@pytest.mark.parametrize(
    ("text", "kind", "name"),
    [
        ("0", "camera", "camera 0"),
        ("1", "camera", "camera 1"),
        ("/dev/video7", "camera", "/dev/video7"),
        ("/dev/null", "pipe", "/dev/null"),
        ("-", "stdin", "-"),
        ("missing.mp4", "file", "missing.mp4"),
        ("12:30.mp4", "file", "12:30.mp4"),
        ("file:///srv/a.mp4", "file", "/srv/a.mp4"),
    ],
)
def test_kinds(text: str, kind: str, name: str) -> None:
    location = parse_location(text)
    assert (location.kind, location.name, location.scheme) == (kind, name, "")
    assert location.is_live == (kind != "file")


def test_a_name_on_disk_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "0").touch()
    (tmp_path / "1").mkdir()
    (tmp_path / "rtsp:" / "a").mkdir(parents=True)
    os.mkfifo(tmp_path / "fifo")
    assert [parse_location(text).kind for text in ("0", "1", "rtsp://a", "fifo", "2")] == [
        "file",
        "folder",
        "folder",
        "pipe",
        "camera",
    ]
    assert parse_location("fifo").path == Path("fifo")


@pytest.mark.parametrize(
    ("text", "name", "target"),
    [
        ("rtsp://cam1:554/s1", "rtsp://cam1:554/s1", "rtsp://cam1:554/s1"),
        ("RTSP://u:p@cam1", "rtsp://cam1", "rtsp://u:p@cam1"),
        ("rtsp://u:p@s/w:o?r#d%@cam1/s", "rtsp://cam1/s", "rtsp://u:p%40s%2Fw%3Ao%3Fr%23d%25@cam1/s"),
        (r"rtsp://dom\u.v:p@cam1", "rtsp://cam1", "rtsp://dom%5Cu.v:p@cam1"),
        ("rtsp://u:p%40s@cam1", "rtsp://cam1", "rtsp://u:p%40s@cam1"),  # read as escaped
        ("rtsp://u:p%40@s@cam1", "rtsp://cam1", "rtsp://u:p%2540%40s@cam1"),  # the raw @ says: typed as it is
        ("rtsp://u:100%@cam1", "rtsp://cam1", "rtsp://u:100%25@cam1"),
        ("rtsp://u@cam1", "rtsp://cam1", "rtsp://u:@cam1"),
        ("udp://@239.0.0.1:1234", "udp://239.0.0.1:1234", "udp://239.0.0.1:1234"),
        ("srt://:9000?mode=listener", "srt://:9000?mode=listener", "srt://:9000?mode=listener"),
        ("rtsp://[fe80::1%eth0]:554/x", "rtsp://[fe80::1%eth0]:554/x", "rtsp://[fe80::1%eth0]:554/x"),
        ("http://h/x\r\nHost: y", r"http://h/x\r\nHost: y", "http://h/x%0D%0AHost:%20y"),
        # an @ in a path or a query
        ("http://h/a@2x.m3u8", "http://h/a%402x.m3u8", "http://h/a@2x.m3u8"),
        ("http://1.2.3.4:80/a@b/c", "http://1.2.3.4:80/***/b/c", "http://1.2.3.4:80/a@b/c"),
        ("http://u:p@10.0.0.1/live@720p", "http://10.0.0.1/***/720p", "http://u:p@10.0.0.1/live@720p"),
        ("http://u:p@h/v?mail=a@b.org", "http://h/v?mail=***", "http://u:p@h/v?mail=a@b.org"),
        # tokens
        ("http://h/v?token=t0k&channel=2", "http://h/v?token=***&channel=2", "http://h/v?token=t0k&channel=2"),
        ("http://h/v?user=me&pwd=t0k#frag", "http://h/v?user=***&pwd=***#***", "http://h/v?user=me&pwd=t0k#frag"),
        ("rtsp://h/user=a_password=t0k_channel=1.sdp", "rtsp://h/user=***_password=***_channel=1.sdp", None),
        ("rtmp://h/live2/abcd-efgh-ijkl-mnop", "rtmp://h/live2/***", "rtmp://h/live2/abcd-efgh-ijkl-mnop"),
    ],
)  # fmt: skip
def test_addresses(text: str, name: str, target: str | None) -> None:
    location = parse_location(text)
    assert (location.kind, location.is_live) == ("url", True)
    assert (location.name, location.target()) == (name, target or text)
    assert "t0k" not in repr(location)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "empty"),
        ("rtsp://", "no host"),
        ("rtsp://user:s3cr3t@", "no host"),
        ("rtsp://user:s3cr3t@cam1:99999/x", "no host"),
        ("gopher://user:s3cr3t@cam1/x", "gopher"),
        ("user:s3cr3t@cam1/x", "without its beginning"),
        ("rtsp:/user:s3cr3t@cam1/x", "without its beginning"),
    ],
)
def test_what_makes_no_sense_is_refused_without_the_password(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as error:
        parse_location(text)
    assert "s3cr3t" not in str(error.value)


def test_credentials_from_elsewhere(tmp_path: Path) -> None:
    file = tmp_path / "netrc"
    file.write_text('machine cam1 login joe password "p@s/w#"\nmachine fe80::1 login v6 password six\n')

    def target(text: str, **options: str) -> str:
        return parse_location(text, netrc=file, **options).target()  # type: ignore[arg-type]

    assert target("rtsp://cam1:554/x") == "rtsp://joe:p%40s%2Fw%23@cam1:554/x"
    assert target("rtsp://joe@cam1/x") == "rtsp://joe:p%40s%2Fw%23@cam1/x"
    assert target("rtsp://ann@cam1/x") == "rtsp://ann:@cam1/x"  # the file knows another user
    assert target("rtsp://[fe80::1]/x") == "rtsp://v6:six@[fe80::1]/x"
    assert target("rtsp://cam2/x") == "rtsp://cam2/x"
    assert target("rtsp://cam2/x", user="u", password="%41") == "rtsp://u:%2541@cam2/x"
    assert target("rtsp://own:pw@cam1/x", user="u", password="p") == "rtsp://own:pw@cam1/x"
    assert target("rtsp://ann@cam1/x", user="u", password="p") == "rtsp://ann:@cam1/x"
    assert target("udp://cam1:5000", user="u", password="p") == "udp://cam1:5000"  # nobody asks for a login there
    assert "p@s/w#" in parse_location("rtsp://cam1/x", netrc=file).secrets()


def test_a_netrc_file_that_can_not_be_used(tmp_path: Path) -> None:
    file = tmp_path / "netrc"
    with pytest.raises(UsageError, match="can't be read"):
        parse_location("rtsp://cam1/x", netrc=file)
    file.write_text("machine cam1\n  login joe\n  password s3cr3t s3cr3t\n")
    with pytest.raises(UsageError, match="line") as error:
        parse_location("rtsp://cam1/x", netrc=file)
    assert "s3cr3t" not in str(error.value)
    file.write_bytes(b"machine cam1 login \xff\xfe password \x80")
    with contextlib.suppress(UsageError):  # an old locale may read it
        parse_location("rtsp://cam1/x", netrc=file)


def test_nothing_of_a_location_shows_its_secrets() -> None:
    location = parse_location("rtsp://me:s3cr3t@cam1/x?token=s3cr3t")
    for shown in (repr(location), str(location), f"{location}", repr(dataclasses.asdict(location)), location.name):
        assert "s3cr3t" not in shown
        assert "me" not in shown.replace("scheme", "").replace("name", "")
    assert location == parse_location("rtsp://me:s3cr3t@cam1/x?token=s3cr3t")
    assert location != parse_location("rtsp://me:other@cam1/x?token=s3cr3t")
    assert len({location, parse_location("rtsp://me:other@cam1/x?token=s3cr3t")}) == 2
    assert pickle.loads(pickle.dumps(location)) == location


def test_logins_that_ffmpeg_can_not_send() -> None:
    assert parse_location(f"rtsp://me:{'x' * 124}@cam1").target() == f"rtsp://me:{'x' * 124}@cam1"
    with pytest.raises(UsageError, match=r"rtsp://cam1 are longer than the 127 bytes"):
        parse_location(f"rtsp://me:{'x' * 125}@cam1")
    assert parse_location("rtmp://me:p@%ü@cam1/x").target() == "rtmp://me:p@%ü@cam1/x"
    with pytest.raises(UsageError, match="RTMP") as error:
        parse_location("rtmp://me:s3cr3t/x@cam1/x")
    assert "s3cr3t" not in str(error.value)


@given(st.text())
def test_any_text_gives_a_location_or_a_usage_error(text: str) -> None:
    with contextlib.suppress(UsageError):
        assert isinstance(parse_location(f"rtsp://{text}"), Location)
    with contextlib.suppress(UsageError):
        assert parse_location(text).name.isprintable()


@pytest.mark.parametrize(("scheme", "method"), [("http", "basic"), ("rtsp", "basic"), ("rtsp", "digest")])
def test_ffmpeg_sends_the_password_that_was_typed(scheme: str, method: str) -> None:
    rng = random.Random(3)
    samples = [sample(rng) for _ in range(12)]
    with login_server(method) as (port, answers):
        for some in samples:
            answers.clear()
            location = parse_location(f"{scheme}://{some.user}:{some.password}@127.0.0.1:{port}/x")
            with pytest.raises(av.error.FFmpegError):
                av.open(location.target(), timeout=5, options={"rtsp_transport": "tcp"} if scheme == "rtsp" else {})
            if method == "basic":
                assert set(answers) == {f"{some.user}:{some.password}"}
            else:
                assert answers
                assert all(digest_is_right(answer, some.user, some.password) for answer in answers)
