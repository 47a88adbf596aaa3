"""No password is seen, however it is written: ten thousand addresses through every way of showing them."""

from __future__ import annotations

import base64
import html
import json
import random
import re
import shlex
import traceback
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamdet.errors import SourceError, UsageError
from streamdet.video.base import printable
from streamdet.video.location import Location, parse_location
from streamdet.video.redaction import redact, secrets_in
from tests.video.addresses import Sample, sample

ADDRESSES = 10_000


def ways_of_writing(address: str) -> list[str]:
    """An address inside what programs show, each on a line of its own."""
    return [
        f"can't open {address}: connection refused; try again",
        f"[rtsp @ 0x55d2] method DESCRIBE failed: 401 Unauthorized '{address}'",
        f"File {address!r}, line 3, in open",
        repr({"url": address}),
        repr(address.encode(errors="surrogatepass")),
        json.dumps({"source": address, "n": 1}),
        json.dumps([address], ensure_ascii=False).replace("/", "\\/"),
        json.dumps(json.dumps(address)),
        quote(address, safe=""),
        quote_plus(address),
        html.escape(f"<a href='{address}'>"),
        shlex.join(["streamdet", "run", address]),
        printable(address),
    ]


def raised_for(address: str) -> str:
    """A traceback of an error of FFmpeg that quotes the address, with our error raised from it."""
    try:
        try:
            raise ConnectionRefusedError(111, "Connection refused", address)
        except OSError as error:
            raise SourceError(f"{address} can't be opened: {error}") from error
    except SourceError as error:
        return "".join(traceback.format_exception(error))


def forms(password: str) -> set[str]:
    written = {password, quote(password, safe=""), quote(password), quote_plus(password), repr(password)[1:-1]}
    written |= {json.dumps(password)[1:-1], html.escape(password), printable(password)}
    return {*written, base64.b64encode(password.encode()).decode().rstrip("=")}


def leaks(shown: str, some: Sample) -> list[str]:
    return [form for form in [some.mark, *forms(some.password)] if form in shown]


def location_or_sentence(address: str) -> Location | str:
    try:
        return parse_location(address)
    except UsageError as error:
        return str(error)


def check(some: Sample) -> bool:
    """Every way of showing an address leaks nothing; the answer is whether its host was found."""
    secrets = secrets_in(some.text)
    text = "\n".join([*ways_of_writing(some.text), raised_for(some.text)])
    assert not leaks(redact(text, secrets), some), some
    assert not leaks(redact(text), some), some  # nobody knows the password: from a redirect, say
    alone = "\n".join([*ways_of_writing(some.password), base64.b64encode(some.password.encode()).decode()])
    assert not leaks(redact(alone, secrets), some), some
    location = location_or_sentence(some.text)
    if isinstance(location, str):
        assert "127 bytes" in location
        assert not leaks(location, some), some
        return True
    assert redact(location.name) == location.name
    shown = [location.name, repr(location), re.sub(r"[^\w.-]+", "_", location.name), redact(location.target())]
    shown += [redact("\n".join([*ways_of_writing(location.target()), raised_for(location.target())]))]
    assert not leaks("\n".join(shown), some), some
    return location.name == printable(some.shown) and some.password in location.secrets()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_ten_thousand_addresses_leak_nothing() -> None:
    rng = random.Random(20240404)
    understood = sum(check(sample(rng)) for _ in range(ADDRESSES))
    assert understood >= ADDRESSES * 0.999  # `admin:80/x@cam1/` may be a host with its port and an @ in its path


def test_some_of_them() -> None:
    rng = random.Random(1)
    assert all(check(sample(rng)) for _ in range(200))


MARK = "zqxjkvw"
characters = st.one_of(st.sampled_from("@/:?#% '\"\\&+=;"), st.characters(exclude_categories=["Cc", "Cs"]))


@settings(deadline=None)
@given(st.text(characters, max_size=12), st.text(characters, max_size=12), st.sampled_from(["10.0.0.7:554", "cam1"]))
def test_any_password_is_taken_out_of_a_command_line_and_of_its_errors(before: str, behind: str, place: str) -> None:
    password = f"{before}{MARK}{behind}"
    address = f"rtsp://john.doe:{password}@{place}/s"
    secrets = (password,)
    text = "\n".join([*ways_of_writing(address), raised_for(address), *ways_of_writing(password)])
    assert MARK not in redact(text, secrets)
    location = location_or_sentence(address)
    if isinstance(location, str):
        assert MARK not in location
        return
    assert MARK not in location.name
    assert MARK not in repr(location)
    assert MARK not in redact("\n".join([*ways_of_writing(location.target()), raised_for(location.target())]))


@given(st.text())
def test_any_text_can_be_redacted_twice(text: str) -> None:
    assert redact(redact(text)) == redact(text)
    assert redact(redact(f"rtsp://{text}")) == redact(f"rtsp://{text}")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("rtsp://john.doe:t0k@cam1/s can't be opened", "rtsp://cam1/s can't be opened"),
        ("rtsp://u:t0k@a/1 and http://v:t0k@b/2", "rtsp://a/1 and http://b/2"),
        ("see http://h/v?token=t0k&channel=2: 401", "see http://h/v?token=***&channel=2: 401"),
        ("(rtmp://h/live2/abcd-efgh-ijkl-mnop)", "(rtmp://h/live2/***)"),
        ("rtsp://user:t0k", "rtsp://***"),
        ("rtsp://user:t0k...", "rtsp://***"),
        ("rtsp://user:t0k@", "rtsp://***"),
        ("no user:t0k@cam1/x", "no ***@cam1/x"),
        ("Authorization: Basic dDBrOnQwaw==\r\nCSeq: 2", "Authorization: Basic ***\r\nCSeq: 2"),
        ("connect(host='h', password='t0k')", "connect(host='h', password='***')"),
        ('{"password": "t0k", "n": 1}', '{"password": "***", "n": 1}'),
    ],
)
def test_what_nobody_knows_to_be_secret(text: str, shown: str) -> None:
    assert redact(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "rtsp://cam1:554/stream1: connection refused; check the port",
        "no host can be made out: write rtsp://HOST:PORT/PATH",
        "give one of rtsp://, rtsps://, http://, or a file",
        "[rtsp @ 0x55d2] Stream #0: H.264 (High), 25 fps, C:\\clips\\a.mp4 at 12:30:05",
        "'http://10.0.0.7:8080/video.mjpg?channel=1&subtype=0', rtsp://[fe80::1]:554/x",
        "set STREAMDET_USER and STREAMDET_PASSWORD; the password: as it is",
    ],
)
def test_innocent_texts_stay(text: str) -> None:
    assert redact(text, ["s3cr3t", "12", "554x"]) == text


def test_a_message_in_lower_case() -> None:
    assert redact("can't open RTSP://u:P%2FSS@cam1: refused, P/SSWORD".lower(), ["P/SSWORD"]).endswith("refused, ***")


def test_short_secrets_are_taken_out_where_they_stand_alone() -> None:
    assert redact("port 12345, password 1234, pw a1", ["1234", "a1"]) == "port 12345, password ***, pw a1"


def test_arguments_of_a_command_line() -> None:
    assert "p@/s" in secrets_in("--out=rtsp://u:p@/s@cam1/x")
    assert "p@/s" in secrets_in("u:p@/s@cam1/x")
    assert "p@/s" in secrets_in("--out=rtsp:/u:p@/s@cam1/x")
    assert "pw" in secrets_in("yard=rtsp://u:pw@cam1/x")
    assert secrets_in("http://h/v?token=t0ken&channel=1") == ("t0ken",)
    assert secrets_in("clip.mp4") == secrets_in("rtsp://cam1/x") == ()
