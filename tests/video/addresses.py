"""Addresses of cameras with every kind of password, made from a seed, and servers that say what login reached them."""

from __future__ import annotations

import base64
import hashlib
import random
import re
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

SPECIAL = "@/:?#%"
QUOTES = " \"'\\&+=<>$!`;,|~"
FOREIGN = "üñ密码🎥éß"
MARK_LETTERS = "bcdfghjkmnpqrstvwxz"


@dataclass(frozen=True)
class Sample:
    """An address, and the parts that may not be seen."""

    text: str
    user: str
    password: str
    mark: str
    """A piece of the password that no escaping changes and no innocent text holds: its absence proves all."""
    shown: str
    """How the name of the location begins."""


def sample(rng: random.Random) -> Sample:
    """One address."""
    characters = [
        rng.choice(rng.choices([SPECIAL, QUOTES, FOREIGN, MARK_LETTERS + "0123456789"], [35, 15, 10, 40])[0])
        for _ in range(rng.randint(0, 14))
    ]
    mark = "".join(rng.choices(MARK_LETTERS, k=7))
    place = rng.randint(0, len(characters))
    password = "".join([*characters[:place], mark, *characters[place:]])
    user = rng.choice(["adm1n", "john.doe", "dom\\user", "a.b.c", "jürgen", "me@mail.test", "cam user"])
    host = rng.choice(["cam1", "10.0.0.7", "yard.example.com", "[fe80::1]", "nvr-2", "localhost"])
    port = rng.choice(["", ":554", ":8554", ":10554"])
    tail = rng.choice(["", "/", "/stream1", "/live/ch0?channel=1&subtype=0", "/a b/c.sdp"])
    scheme = rng.choice(["rtsp", "http", "srt", "https", "RTSPS"])
    shown = f"{scheme.lower()}://{host}{port}{tail}"
    return Sample(f"{scheme}://{user}:{password}@{host}{port}{tail}", user, password, mark, shown)


@contextmanager
def login_server(method: str) -> Iterator[tuple[int, list[str]]]:
    """Port of a server on 127.0.0.1, of RTSP or HTTP, that asks for a login, and the answers that it got.

    Args:
        method: `basic`: the answers are `user:password`; `digest`: the whole headers.
    """
    answers: list[str] = []
    challenge = {"basic": 'Basic realm="cam"', "digest": 'Digest realm="cam", nonce="n0nce", algorithm=MD5'}[method]

    class Handler(socketserver.StreamRequestHandler):
        timeout = 5

        def handle(self) -> None:
            while request := self.rfile.readline().decode("latin-1").split():
                headers = b"".join(iter(self.rfile.readline, b"\r\n")).decode()
                sequence = "".join(re.findall(r"CSeq: \d+\r\n", headers))
                login = re.search(r"Authorization: (\w+) ([^\r]*)", headers)
                if login and login[1] == "Basic":
                    answers.append(base64.b64decode(login[2]).decode())
                elif login:
                    answers.append(f"{request[0]} {login[2]}")
                version = request[-1]
                state = "404 Not Found" if login else f"401 Unauthorized\r\nWWW-Authenticate: {challenge}"
                self.wfile.write(f"{version} {state}\r\n{sequence}Content-Length: 0\r\n\r\n".encode())

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = True
        daemon_threads = False

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server.server_address[1], answers
        finally:
            server.shutdown()
            thread.join()


def digest_is_right(answer: str, user: str, password: str) -> bool:
    """Whether an answer of `login_server("digest")` was made of this user name and password."""
    verb, _, header = answer.partition(" ")
    fields = dict(re.findall(r'(\w+)="([^"]*)"', header))

    def md5(text: str) -> str:
        return hashlib.md5(text.encode()).hexdigest()

    uri = fields["uri"]
    right = md5(":".join([md5(f"{user}:cam:{password}"), "n0nce", md5(f"{verb}:{uri}")]))
    return fields["response"] == right and fields["username"] == user
