"""Attacks on the server. Each test fails where its defence is taken away."""

from __future__ import annotations

import http.client
import json
import shutil
import socket
from pathlib import Path

import pytest
from pydantic import ValidationError

from engine.endpoint import Endpoint
from trimtab.serve.protocol import MOST_BYTES
from trimtab.store.database import Database
from trimtab.store.deployments import Deployed
from trimtab.store.keys import add_key, list_keys, sha256_of_key
from trimtab.task.spec import Task

from .servers import FIXED, Running, promote, running, wait_until
from .test_process import refused, start

CHAT = json.dumps({"model": "names", "messages": [{"role": "user", "content": "Anna"}]}).encode()


@pytest.fixture
def of_another_task(url) -> str:
    """A key in the same database."""
    database = Database(url)
    key = add_key(database, "addresses", "n", "w")
    database.close()
    return key


@pytest.fixture
def guarded(folder, url, of_another_task):
    """A server that asks for a key, and that key."""
    promote(folder, url)
    database = Database(url)
    key = add_key(database, "names", "n", "w")
    database.close()
    with running(folder, url) as server:
        yield server, key


def ask(
    server: Running, path: str, headers: dict[str, str] | None = None, method: str = "POST"
) -> tuple[int, str]:
    """Status and body of a call to exactly this path: no client tidies it up."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    connection.request(method, path, CHAT, headers or {})
    answer = connection.getresponse()
    found = answer.status, answer.read().decode()
    connection.close()
    return found


def test_every_route_that_holds_or_does_something_asks_for_the_key(guarded) -> None:
    server, key = guarded
    unasked = set()
    for route in server.server.app().routes:
        path = route.path.replace("{model}", "names")
        for method in route.methods - {"HEAD"}:
            if ask(server, path, method=method)[0] != 401:
                unasked.add(path)
    assert unasked == {"/health", "/metrics", "/openapi.json"}
    assert ask(server, "/v1/chat/completions", {"authorization": f"Bearer {key}"})[0] == 200


@pytest.mark.parametrize(
    "path",
    [
        "//v1/chat/completions",
        "/v1//chat/completions",
        "/v1/chat/completions/",
        "/v1/./chat/completions",
        "/health/../v1/chat/completions",
        "/health/..%2fv1/chat/completions",
        "/v1/chat%2fcompletions",
        "/V1/Chat/Completions",
        "/v1/chat/completions?api_key=KEY&key=KEY&token=KEY",
        "/v1/chat/completions;a=b",
        "http://127.0.0.1/v1/chat/completions",
        "/v1/chat/completions#/health",
    ],
)
def test_no_spelling_of_a_path_goes_round_the_key(guarded, path) -> None:
    server, key = guarded
    status, body = ask(server, path.replace("KEY", key))
    assert status in (307, 400, 401, 404), body
    assert "choices" not in body
    assert server.traces() == []


def test_what_is_not_the_key_is_no_key(guarded, url, of_another_task) -> None:
    server, key = guarded
    database = Database(url)
    kept = next(each for each in list_keys(database, "names") if key.startswith(each.id))
    database.close()
    wrong = (kept.id, kept.sha256, sha256_of_key(kept.sha256), key[:-1], key + "x", key.upper())
    for each in (*wrong, of_another_task, "", "null", f"{key}, {key}", "*", "' OR 1=1 --"):
        status, _ = ask(server, "/v1/models", {"authorization": f"Bearer {each}"}, "GET")
        assert status == 401, each
    for name in ("x-api-key", "cookie", "proxy-authorization", "x-forwarded-user"):
        assert ask(server, "/v1/models", {name: f"Bearer {key}"}, "GET")[0] == 401, name
    assert ask(server, "/v1/models", {"authorization": f"Bearer {key}"}, "GET")[0] == 200


def test_a_stranger_is_refused_before_the_body_is_read(guarded) -> None:
    server, _ = guarded
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as stranger:
        head = "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 900000\r\n\r\n"
        stranger.sendall(head.encode())
        assert stranger.recv(100).startswith(b"HTTP/1.1 401")


def test_a_caller_cannot_choose_where_a_call_goes(server) -> None:
    """Nor which model, run or variant answers it."""
    trap = Endpoint()
    where = trap.url.removesuffix("/v1")
    fields = {"base_url": trap.url, "api_base": trap.url, "url": where, "variant": "x", "run": ".."}
    headers = {
        "host": where.removeprefix("http://"),
        "x-forwarded-host": where.removeprefix("http://"),
        "x-original-url": where,
        "x-trimtab-variant": "x",
        "forwarded": f"host={where}",
    }
    plain = server.chat("Anna")
    asked = server.chat("Anna", headers=headers, **fields)
    assert asked.status_code == 200
    for name in ("x-trimtab-variant", "x-trimtab-role"):
        assert asked.headers[name] == plain.headers[name]
    assert ask(server, f"{where}/v1/chat/completions")[0] == 200, "answered here, sent nowhere"
    assert trap.connections == 0
    trap.close()


def outside(folder: Path) -> str:
    """A finished run beside the task folder, as a path from `runs`."""
    run = (folder / "runs" / "latest").resolve()
    shutil.copytree(run, folder.parent / "outside")
    return "../../outside"


def promote_by_hand(url: str, run: str, variant: str) -> None:
    """As someone would who can write to the database, and not to the machine of the server."""
    database = Database(url)
    state = {"champion": {"run": run, "variant": variant, "name": "x"}}
    database.query(
        "INSERT INTO deployments (task, number, time, who, why, origin, state)"
        " VALUES ('names', 2, 1, 'w', 'y', 2, ?)",
        (json.dumps(state),),
    )
    database.close()


def test_no_run_outside_of_the_task_can_be_made_to_serve(folder, url, decision) -> None:
    first = promote(folder, url).deployed.variant
    other = next(v.id for v in decision.variants if v.name in FIXED)
    with running(folder, url) as server:
        promote_by_hand(url, outside(folder), other)
        wait_until(lambda: server.client.get("/health").status_code == 503)
        assert "no name of a folder" in server.client.get("/health").json()["problem"]
        assert server.chat().headers["x-trimtab-variant"] == first
    assert "no name of a folder" in refused(folder, "--port", "0", "--database", url)


@pytest.mark.parametrize("run", ["..", ".", "", "/etc", "../x", "a/b", "a/", "a\0b"])
def test_a_path_is_no_name_of_a_run(run) -> None:
    with pytest.raises(ValidationError, match="no name of a folder"):
        Deployed(run=run, variant="v", name="n")


@pytest.mark.parametrize("name", ["..", "../x", "/etc/passwd", "a/b", "a\\b", ".hidden", "", "a\0"])
def test_a_path_is_no_name_of_a_task(folder, decision, name) -> None:
    with pytest.raises(ValidationError, match="name"):
        Task.model_validate({**decision.settings, "name": name})


@pytest.mark.parametrize("model", ["..%2f..%2ftask.yaml", "%2e%2e/runs", "%00", "names%2f..", "x"])
def test_a_path_is_no_name_of_a_model(server, model) -> None:
    status, body = ask(server, f"/v1/models/{model}", method="GET")
    assert status == 404
    assert set(json.loads(body)) == {"error"}


@pytest.fixture(scope="module")
def process(decided, tmp_path_factory):
    """Port of a server that runs as users run it."""
    root = tmp_path_factory.mktemp("process")
    folder = shutil.copytree(decided[0], root / "task", symlinks=True)
    url = str(root / "production.sqlite")
    promote(folder, url)
    started, base = start(folder, url)
    yield int(base.rsplit(":", 1)[1])
    started.terminate()
    assert started.wait(timeout=30) == 0


POST = "POST /v1/feedback HTTP/1.1\r\nhost: x\r\n"


@pytest.mark.parametrize(
    ("start", "piece"),
    [
        ("GET /", "a"),
        ("GET / HTTP/1.1\r\n", "a"),
        ("GET / HTTP/1.1\r\nhost: ", "a"),
        ("GET / HTTP/1.1\r\nhost: x\r\n", "a: b\r\n"),
        (f"{POST}transfer-encoding: chunked\r\n\r\n2\r\n{{}}\r\n0\r\n", "a: b\r\n"),
        (f"{POST}transfer-encoding: chunked\r\n\r\n2;", "a"),
    ],
    ids=["path", "name", "value", "headers", "trailers", "chunk"],
)
def test_a_head_that_does_not_end_is_not_kept_in_memory(process, start, piece) -> None:
    pieces, sent = piece.encode() * (65_536 // len(piece)), 0
    with socket.create_connection(("127.0.0.1", process), timeout=20) as stranger:
        stranger.sendall(start.encode())
        with pytest.raises(ConnectionError):
            while sent < 100 * MOST_BYTES:
                stranger.sendall(pieces)
                sent += len(pieces)
    with socket.create_connection(("127.0.0.1", process), timeout=20) as other:
        other.sendall(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n")
        assert other.recv(100).startswith(b"HTTP/1.1 200")


def test_long_bodies_in_small_chunks_are_read_whole(process) -> None:
    """The limit counts no byte of a body, over many calls of one connection."""
    body = CHAT[:-1] + b', "more": "' + b"x" * 500_000 + b'"}'
    connection = http.client.HTTPConnection("127.0.0.1", process, timeout=20)
    for _ in range(3):
        chunks = [body[i : i + 200] for i in range(0, len(body), 200)]
        connection.request("POST", "/v1/chat/completions", iter(chunks), encode_chunked=True)
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()
        answer.read()
    connection.close()


@pytest.mark.parametrize("length", ["-1", "1e9", "9" * 30, "9" * 17, "0x10", "1, 2", ""])
def test_an_odd_length_of_a_body_is_refused(process, length) -> None:
    with socket.create_connection(("127.0.0.1", process), timeout=20) as stranger:
        stranger.sendall(f"{POST}content-length: {length}\r\n\r\n{{}}".encode())
        assert stranger.recv(100).split()[1] in (b"400", b"413")
