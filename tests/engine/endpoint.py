"""A real endpoint on loopback whose answers a test scripts."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Reply:
    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    wait_s: float = 0.0
    trickle: bool = False
    """Send one byte every 50 ms, for ever."""
    drop: bool = False
    """Hang up without an answer."""


def answer(text: str | None, finish: str = "stop", cached: int = 0, **message: object) -> Reply:
    payload = {
        "choices": [{"message": {"content": text, **message}, "finish_reason": finish}],
        "usage": {
            "prompt_tokens": 12,
            "completion_tokens": 3,
            "prompt_tokens_details": {"cached_tokens": cached},
        },
    }
    return Reply(body=json.dumps(payload).encode())


def echo(body: dict, call: int) -> Reply:
    return answer(body["messages"][-1]["content"])


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """Callers may hang up, as those that give up do; anything else is an error of the test."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class Endpoint:
    """`script(body, number of the call from 1) -> Reply` decides; what was asked is kept."""

    def __init__(self) -> None:
        self.script: Callable[[dict, int], Reply] = echo
        self.bodies: list[dict] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.times: list[float] = []
        self.connections = 0
        self.most_at_once = 0
        self.now = 0
        """Calls under way."""
        self._lock = threading.Lock()
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                endpoint.connections += 1
                super().setup()

            def do_POST(self) -> None:
                endpoint.handle(self)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = _Server(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def handle(self, handler: BaseHTTPRequestHandler) -> None:
        body = json.loads(handler.rfile.read(int(handler.headers["content-length"])))
        with self._lock:
            self.bodies.append(body)
            self.headers.append({k.lower(): v for k, v in handler.headers.items()})
            self.paths.append(handler.path)
            self.times.append(time.monotonic())
            call = len(self.bodies)
            self.now += 1
            self.most_at_once = max(self.most_at_once, self.now)
        reply = self.script(body, call)
        time.sleep(reply.wait_s)
        with self._lock:
            self.now -= 1
        if reply.drop:
            handler.close_connection = True
            return
        try:
            self._send(handler, reply)
        except (BrokenPipeError, ConnectionResetError):
            handler.close_connection = True

    @staticmethod
    def _send(handler: BaseHTTPRequestHandler, reply: Reply) -> None:
        handler.send_response(reply.status)
        for name, value in reply.headers.items():
            handler.send_header(name, value)
        handler.send_header("content-length", str(10**6 if reply.trickle else len(reply.body)))
        handler.end_headers()
        while reply.trickle:
            handler.wfile.write(b" ")
            time.sleep(0.05)
        handler.wfile.write(reply.body)

    def close(self) -> None:
        """Take no new connections; may be called twice."""
        self.server.shutdown()
        self.server.server_close()
