"""A web server that writes down what it is sent; it fails now and then, and may be killed at any moment.

python receiver_process.py PORT FILE
"""

from __future__ import annotations

import itertools
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

BUSY_EVERY, SILENT_EVERY = 37, 53
"""Every so many requests it answers 503, or takes the message and breaks off without an answer."""


def main(port: int, path: Path) -> None:
    numbers = itertools.count(1)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            number = next(numbers)
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if number % BUSY_EVERY == 0:
                self.send_response(503)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            record = {"headers": {name.lower(): value for name, value in self.headers.items()}, "body": body.decode()}
            with path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")
            if number % SILENT_EVERY == 0:
                self.close_connection = True
                return
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    ThreadingHTTPServer.allow_reuse_address = True
    ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
