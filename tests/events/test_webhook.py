from __future__ import annotations

import base64
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from streamdet.errors import UsageError
from streamdet.events.courier import TRIES_OF_A_REFUSED, Courier, NotDeliveredError, Receiver, Retry
from streamdet.events.cursor import Entry
from streamdet.events.journal import Journal, Place
from streamdet.events.webhook import Webhook, WebhookOptions, signed
from streamdet.video.credentials import Secret
from tests.events.servers import free_port, wait_until
from tests.events.test_journal import message

QUICK = Retry(0.01, 0.05)


class Request:
    def __init__(self, path: str, headers: dict[str, str], body: bytes) -> None:
        self.path, self.headers, self.body = path, headers, body


Answer = tuple[int, dict[str, str]] | None
"""Status and headers; None: break off."""


@contextmanager
def web_server(answer: Callable[[int, Request], Answer], port: int = 0) -> Iterator[tuple[int, list[Request]]]:
    """A server whose answer depends on the number of the request, from 1, and the request; its port and requests."""
    requests: list[Request] = []
    connections: set[socket.socket] = set()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            connections.add(self.connection)
            body = self.rfile.read(int(self.headers["Content-Length"]))
            request = Request(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
            requests.append(request)
            given = answer(len(requests), request)
            if given is None:
                self.close_connection = True
                return
            self.send_response(given[0])
            for name, value in ({"Content-Length": "0"} | given[1]).items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = False
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield server.server_address[1], requests
    finally:
        server.shutdown()
        thread.join()
        for connection in connections:
            with suppress(OSError):  # its other end was faster
                connection.shutdown(socket.SHUT_RDWR)
        server.server_close()


def ok(number: int, request: Request) -> Answer:
    return 204, {}


def entry(number: int = 1) -> Entry:
    fields = {"id": f"abc{number}", **message(number)}
    return Entry(json.dumps(fields).encode(), fields, Place(1, 0))


def deliver(url: str, *, tries: int = 1, **choices: object) -> Webhook:
    webhook = Webhook(WebhookOptions("home", Secret(url), **choices))  # type: ignore[arg-type]
    try:
        for _ in range(tries):
            webhook.deliver(entry(), threading.Event())
    finally:
        webhook.close()
    return webhook


def numbers(requests: list[Request]) -> list[int]:
    return [json.loads(request.body)["number"] for request in requests]


@contextmanager
def courier_to(folder: Path, receiver: Receiver, *events: int) -> Iterator[tuple[Journal, Courier]]:
    journal = Journal(folder)
    courier = Courier(journal, folder, receiver, QUICK)
    try:
        journal.append([message(number) for number in events])
        yield journal, courier
    finally:
        courier.close()
        journal.close()


def test_a_signature_is_that_of_the_standard() -> None:
    """The example of the Standard Webhooks specification's own libraries."""
    key = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    headers = signed(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_what_is_sent() -> None:
    with web_server(ok) as (port, requests):
        url = f"http://me:p%40ss word@127.0.0.1:{port}/api/webhook/seCret?x=1 2#part"
        webhook = deliver(url, secret=Secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), tries=3)
    assert len(requests) == 3
    request = requests[0]
    assert request.path == "/api/webhook/seCret?x=1%202"
    assert base64.b64decode(request.headers["authorization"].removeprefix("Basic ")) == b"me:p%40ss word"
    assert (request.headers["webhook-id"], request.headers["content-type"]) == ("abc1", "application/json")
    assert json.loads(request.body)["source"] == "gate"
    shown = f"{webhook.shown} {webhook.__dict__}"
    assert "seCret" not in webhook.shown
    assert f"http://127.0.0.1:{port}" in webhook.shown
    assert "MfKQ9r8" not in shown


def test_a_connection_is_kept_and_one_that_was_closed_meanwhile_made_anew() -> None:
    def close_second(number: int, request: Request) -> Answer:
        return None if number == 2 else (200, {})

    with web_server(close_second) as (port, requests):
        deliver(f"http://127.0.0.1:{port}/", tries=3)
        assert len(requests) == 4


@pytest.mark.parametrize(
    ("status", "refused", "words"),
    [(500, False, "answers 500"), (404, False, "answers 404"), (400, True, "answers 400"), (302, False, "redirection")],
)
def test_answers_that_are_no_receipt(status: int, refused: bool, words: str) -> None:
    with web_server(lambda *_: (status, {"Retry-After": "7"})) as (port, _), pytest.raises(NotDeliveredError) as caught:
        deliver(f"http://127.0.0.1:{port}/secret-path")
    assert (caught.value.refused, words in str(caught.value)) == (refused, True)
    assert caught.value.wait_s == (None if status == 302 else 7)
    assert "secret-path" not in str(caught.value)


def test_a_receiver_that_is_not_there_or_says_nothing() -> None:
    with pytest.raises(NotDeliveredError, match=r"can't be reached \(connection refused\)"):
        deliver(f"http://127.0.0.1:{free_port()}/")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        with pytest.raises(NotDeliveredError, match="does not answer in time"):
            deliver(url, timeout_s=0.2)


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/x", "127.0.0.1", "http://", "https:///path"])
def test_an_address_that_is_none_is_told_without_showing_it(url: str) -> None:
    with pytest.raises(UsageError, match="url of webhook home is no address of a web server") as caught:
        Webhook(WebhookOptions("home", Secret(url)))
    assert url not in str(caught.value)


def test_a_courier_tries_again_and_keeps_the_order(tmp_path: Path) -> None:
    def often_fails(number: int, request: Request) -> Answer:
        return (503, {}) if number % 3 else (200, {})

    with web_server(often_fails) as (port, requests):
        webhook = Webhook(WebhookOptions("home", Secret(f"http://127.0.0.1:{port}/")))
        with courier_to(tmp_path, webhook, *range(1, 11)) as (_, courier):
            wait_until(lambda: courier.delivered == 10, "ten messages")
            assert not courier.is_behind
    assert numbers(requests) == [number for number in range(1, 11) for _ in range(3)]
    ids = [request.headers["webhook-id"] for request in requests]
    assert ids[0] == ids[2] != ids[3]


def test_a_message_that_the_receiver_calls_wrong_is_set_aside(tmp_path: Path) -> None:
    def dislikes_two(number: int, request: Request) -> Answer:
        return (422, {}) if json.loads(request.body)["number"] == 2 else (200, {})

    with web_server(dislikes_two) as (port, requests):
        webhook = Webhook(WebhookOptions("home", Secret(f"http://127.0.0.1:{port}/")))
        with courier_to(tmp_path, webhook, 1, 2, 3) as (_, courier):
            wait_until(lambda: courier.delivered == 2, "the others")
            assert courier.set_aside == 1
            assert any("is kept in" in note for note in courier.notes)
    assert numbers(requests) == [1, *[2] * TRIES_OF_A_REFUSED, 3]
    [kept] = (tmp_path / "refused-home.jsonl").read_text().splitlines()
    assert json.loads(kept)["message"]["number"] == 2


def test_what_was_not_delivered_goes_out_with_the_next_run(tmp_path: Path) -> None:
    port = free_port()
    options = WebhookOptions("home", Secret(f"http://127.0.0.1:{port}/hook"))
    with courier_to(tmp_path, Webhook(options), 1, 2) as (_, courier):
        wait_until(lambda: courier.notes, "a note")
    assert courier.notes == [
        f"webhook home (http://127.0.0.1:{port}) can't be reached (connection refused): its events wait",
        f"webhook home (http://127.0.0.1:{port}) has not got all events yet (can't be reached (connection refused)): "
        "they go out with the next run",
    ]
    with web_server(ok, port) as (_, requests), courier_to(tmp_path, Webhook(options), 3) as (_, courier):
        wait_until(lambda: courier.delivered == 3, "all of them")
    assert numbers(requests) == [1, 2, 3]


def test_messages_for_others_are_passed_over(tmp_path: Path) -> None:
    with web_server(ok) as (port, requests):
        webhook = Webhook(WebhookOptions("home", Secret(f"http://127.0.0.1:{port}/")))
        with courier_to(tmp_path, webhook) as (journal, courier):
            journal.append([message(1) | {"send": ["other"]}, message(2) | {"send": []}, message(3)])
            wait_until(lambda: not courier.is_behind, "the end")
    assert numbers(requests) == [3]


def test_a_fault_of_our_own_loses_nothing(tmp_path: Path) -> None:
    class Faulty:
        name, shown = "home", "webhook home"
        tries = 0

        def open(self) -> None:
            pass

        def deliver(self, entry: Entry, stopping: threading.Event) -> None:
            self.tries += 1
            if self.tries < 3:
                raise KeyError("something")

        def close(self) -> None:
            pass

    with courier_to(tmp_path, Faulty(), 1) as (_, courier):
        wait_until(lambda: courier.delivered == 1, "the message")
        assert "fails in a way that nobody expected (KeyError)" in courier.notes[0]


def test_a_courier_ends_at_once_while_it_waits(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    options = WebhookOptions("home", Secret(f"http://127.0.0.1:{free_port()}/"))
    courier = Courier(journal, tmp_path, Webhook(options), Retry(1000, 1000))
    journal.append([message(1)])
    wait_until(lambda: courier.notes, "the first failure")
    began = time.monotonic()
    courier.close()
    assert time.monotonic() - began < 60
    journal.close()
