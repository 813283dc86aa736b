"""The webhook gets an alarm, and cannot be turned against the network that the watch runs in."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from trimtab.errors import TaskError
from trimtab.store.watching import Alarm
from trimtab.task.load import load_spec
from trimtab.watch.notify import WebhookRefused, post, write
from trimtab.watch.settings import AlarmSettings, WatchSettings

from .traffic import START

ALARM = Alarm(
    id="0" * 28,
    task="names",
    kind="quality",
    opened=START,
    deployment=1,
    message="quality fell",
    retrain=True,
)


class Hook(HTTPServer):
    """Keeps what it gets, and answers with `status`."""

    status = 200
    location = ""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.got: list[tuple[str, str, dict]] = []


class Handler(BaseHTTPRequestHandler):
    server: Hook

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.got.append((self.path, self.headers["host"], json.loads(body)))
        self.send_response(self.server.status)
        if self.server.location:
            self.send_header("location", self.server.location)
        self.end_headers()

    def do_GET(self) -> None:
        self.server.got.append((self.path, "followed", {}))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *arguments: object) -> None: ...


@pytest.fixture
def hook() -> Iterator[Hook]:
    server = Hook()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


def settings(port: int, host: str = "127.0.0.1", **changes: object) -> AlarmSettings:
    url = f"http://{host}:{port}/alarm"
    return AlarmSettings(webhook=url, **{"allow_private": True, **changes})  # type: ignore[arg-type]


def test_the_webhook_gets_the_alarm(hook) -> None:
    post(settings(hook.server_port), ALARM)
    ((path, host, body),) = hook.got
    assert (path, host) == ("/alarm", f"127.0.0.1:{hook.server_port}")
    assert body["kind"] == "quality"
    assert body["retrain"] is True


def test_a_private_address_is_refused_unless_allowed(hook) -> None:
    with pytest.raises(WebhookRefused, match="not public"):
        post(settings(hook.server_port, allow_private=False), ALARM)
    assert hook.got == []


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "192.168.0.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "::1",
        "fe80::1%eth0",
        "fd00::1",
        "::ffff:127.0.0.1",
        "2002:7f00:1::",
    ],
)
def test_a_public_name_of_a_private_address_is_refused(hook, address) -> None:
    asked = settings(hook.server_port, "hooks.example.org", allow_private=False)
    with pytest.raises(WebhookRefused, match="not public"):
        post(asked, ALARM, lambda host, port: ["93.184.216.34", address])
    assert hook.got == []


def test_the_call_goes_to_the_address_that_was_checked(hook) -> None:
    """A name that resolves anew could point elsewhere a moment later."""
    asked: list[str] = []

    def resolve(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"]

    post(settings(hook.server_port, "hooks.invalid"), ALARM, resolve)
    assert asked == ["hooks.invalid"], "resolved once"
    assert hook.got[0][1] == f"hooks.invalid:{hook.server_port}"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed(hook, status) -> None:
    hook.status, hook.location = status, f"http://127.0.0.1:{hook.server_port}/inside"
    with pytest.raises(WebhookRefused, match=str(status)):
        post(settings(hook.server_port), ALARM)
    assert [path for path, _, _ in hook.got] == ["/alarm"]


def test_no_proxy_of_the_environment_is_used(hook, monkeypatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    post(settings(hook.server_port), ALARM)
    assert len(hook.got) == 1


def test_a_webhook_that_is_down_or_fails_is_told(hook) -> None:
    hook.status = 500
    with pytest.raises(WebhookRefused, match="500"):
        post(settings(hook.server_port), ALARM)
    with pytest.raises(WebhookRefused, match="not reached"):
        post(settings(9), ALARM)

    def nowhere(host: str, port: int) -> list[str]:
        raise OSError("no such name")

    with pytest.raises(WebhookRefused, match="no address"):
        post(settings(80, "nowhere.invalid"), ALARM, nowhere)


@pytest.mark.parametrize(
    "url", ["ftp://example.org", "file:///etc/passwd", "https://user:secret@example.org", "x"]
)
def test_other_urls_are_refused_with_their_line(tmp_path, url) -> None:
    file = tmp_path / "watch.yaml"
    file.write_text(f"alarms:\n  webhook: {url}\n", "utf-8")
    with pytest.raises(TaskError, match=r"watch.yaml:2: alarms\.webhook"):
        load_spec(file, WatchSettings)


def test_the_file_gets_a_line_an_alarm(tmp_path) -> None:
    file = tmp_path / "alarms.jsonl"
    other = ALARM.model_copy(update={"id": "1" * 28})
    closed = ALARM.model_copy(update={"told": True, "closed": START, "closed_by": "reviewer-1"})
    write(file, [ALARM])
    write(file, [closed, other])
    write(file, [ALARM, other])
    lines = file.read_text("utf-8").splitlines()
    assert [Alarm.model_validate_json(line) for line in lines] == [ALARM, other]
