from __future__ import annotations

import resource
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from trimtab.engine.cache import RequestCache
from trimtab.engine.fake import FakeEngine
from trimtab.errors import DiskFull, InputError
from trimtab.types import Completion, Decoding, Message, OutputContract, Request

ENGINE = FakeEngine(model_id="m1")


def request(text: str = "x", adapter: str | None = None, **decoding: object) -> Request:
    return Request(
        messages=(Message(role="user", content=text),),
        decoding=Decoding(**{"max_tokens": 5, **decoding}),  # type: ignore[arg-type]
        adapter=adapter,
    )


def completion(text: str) -> Completion:
    return Completion(text=text, finish="stop", tokens_in=3, tokens_cached=1, tokens_out=2)


def test_a_kept_answer_is_found_by_a_later_process_without_its_latency(tmp_path: Path) -> None:
    path = tmp_path / "new" / "cache.sqlite"
    key = RequestCache.key(ENGINE, request())
    first = RequestCache(path)
    assert first.get(key) is None
    first.put(key, completion("a\u2028é").model_copy(update={"latency_s": 0.3}))
    assert RequestCache(path).get(key) == completion("a\u2028é")


def test_the_first_answer_stays(tmp_path: Path) -> None:
    cache = RequestCache(tmp_path / "c")
    cache.put("k", completion("first"))
    cache.put("k", completion("second"))
    assert cache.get("k") == completion("first")


def json_contract(*names: str) -> OutputContract:
    return OutputContract(
        kind="json", schema={"type": "object", "properties": {name: {} for name in names}}
    )


def test_the_key_tells_apart_all_that_changes_an_answer() -> None:
    key = RequestCache.key
    keys = [
        key(ENGINE, request()),
        key(FakeEngine(model_id="m2"), request()),
        key(ENGINE, request("y")),
        key(ENGINE, request(seed=1)),
        key(ENGINE, request(temperature=0.5)),
        key(ENGINE, request(max_tokens=6)),
        key(ENGINE, request(contract=json_contract("a", "b"))),
        key(ENGINE, request(contract=json_contract("b", "a"))),
        key(ENGINE, request(adapter="p"), "sha1"),
        key(ENGINE, request(adapter="p"), "sha2"),
    ]
    assert len(set(keys)) == len(keys)


def test_an_adapter_counts_by_its_weights_and_not_its_path() -> None:
    one = RequestCache.key(ENGINE, request(adapter="runs/1/a"), "sha")
    assert one == RequestCache.key(ENGINE, request(adapter="runs/2/b"), "sha")


@pytest.mark.parametrize(("adapter", "sha"), [("p", None), (None, "sha")])
def test_an_adapter_without_its_hash_is_a_mistake(adapter: str | None, sha: str | None) -> None:
    with pytest.raises(ValueError, match="adapter"):
        RequestCache.key(ENGINE, request(adapter=adapter), sha)


def test_a_file_that_is_no_cache_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "c"
    path.write_bytes(b"this is not a database, and long enough to be read as one" * 40)
    with pytest.raises(InputError, match="TRIMTAB_CACHE") as caught:
        RequestCache(path)
    assert str(path) in str(caught.value)


def test_a_folder_that_cannot_be_made_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="TRIMTAB_CACHE"):
        RequestCache(tmp_path / "file" / "c")


def test_a_full_disk_loses_nothing_that_was_kept(tmp_path: Path) -> None:
    path = tmp_path / "c"
    cache = RequestCache(path)
    cache.put("k", completion("kept"))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, limits[1]))
    try:
        with pytest.raises(DiskFull, match="nothing finished is lost"):
            for i in range(100):
                cache.put(str(i), completion("x" * 20_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert cache.get("k") == completion("kept")
    cache.put("later", completion("later"))
    assert cache.get("later") == completion("later")


def test_several_processes_write_and_one_is_killed(tmp_path: Path) -> None:
    child = textwrap.dedent("""
        import sys
        from pathlib import Path
        from trimtab.engine.cache import RequestCache
        from trimtab.types import Completion

        cache = RequestCache(Path(sys.argv[1]))
        for i in range(100_000):
            text = f"{sys.argv[2]} {i}"
            cache.put(text, Completion(text=text, finish="stop", tokens_in=1, tokens_out=1))
            print(i, flush=True)
    """)
    path = tmp_path / "c"
    children = [
        subprocess.Popen(
            [sys.executable, "-c", child, str(path), name], stdout=subprocess.PIPE, text=True
        )
        for name in "ab"
    ]
    kept = {}
    for name, process in zip("ab", children, strict=True):
        assert process.stdout is not None
        for _ in range(200):
            kept[name] = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
    cache = RequestCache(path)
    for name, last in kept.items():
        for i in range(last + 1):
            found = cache.get(f"{name} {i}")
            assert found is not None
            assert found.text == f"{name} {i}"
