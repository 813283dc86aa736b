"""Champion, canary and shadow; changes of them under load."""

from __future__ import annotations

import threading
import time

import pytest

from trimtab.engine.fake import FakeEngine
from trimtab.serve.calls import Served
from trimtab.serve.live import Live
from trimtab.store import deployments
from trimtab.store.database import Database
from trimtab.store.deployments import Deployed
from trimtab.types import content_hash

from .servers import FIXED, promote, running, wait_until


def by_prompt(spec, progress) -> FakeEngine:
    """Answers with a hash of the prompt, so that an answer shows which variant made it."""

    def answer(messages, decoding) -> str:
        time.sleep(0.001)
        return content_hash(*(m.content for m in messages[:-1]))

    return FakeEngine(answer, model_id="fake:m")


@pytest.fixture
def two(decision) -> list[str]:
    """Ids of the two variants in `FIXED`."""
    return [v.id for v in decision.variants if v.name in FIXED]


def expected(decision, variant_id: str) -> str:
    """What the engine of `by_prompt` answers for one of `two`, whatever the input."""
    return content_hash(next(v.name for v in decision.variants if v.id == variant_id))


def live(share: float, canary: str = "b") -> Live:
    def served(name: str) -> Served:
        deployed = Deployed(run="r", variant=name, name=name)
        return Served(deployed, None, None)  # type: ignore[arg-type]

    return Live(1, served("a"), served(canary), share)


def test_the_canary_takes_its_share_and_keeps_who_it_had() -> None:
    users = [f"user {i}" for i in range(5000)]
    at_ten = {user for user in users if live(0.1).route(user)[0] == "canary"}
    at_thirty = {user for user in users if live(0.3).route(user)[0] == "canary"}
    assert abs(len(at_ten) / 5000 - 0.1) < 0.02
    assert abs(len(at_thirty) / 5000 - 0.3) < 0.03
    assert at_ten < at_thirty
    others = {user for user in users if live(0.1, "c").route(user)[0] == "canary"}
    assert len(at_ten & others) < 120, "another canary meets other users"
    assert not any(live(0.0).route(user)[0] == "canary" for user in users)


def test_a_user_meets_the_same_variant_whatever_they_ask(folder, url, two) -> None:
    promote(folder, url, two[0])
    promote(folder, url, two[1], "canary", 0.5)
    with running(folder, url) as server:
        met = {
            user: {
                server.chat(f"{user} {i}", user=user).headers["x-trimtab-role"] for i in range(3)
            }
            for user in map(str, range(12))
        }
        assert all(len(roles) == 1 for roles in met.values())
        assert set.union(*met.values()) == {"champion", "canary"}


def test_the_shadow_answers_are_kept_and_never_given_out(folder, url, two, decision) -> None:
    promote(folder, url, two[0])
    promote(folder, url, two[1], "shadow")
    with running(folder, url, make=by_prompt) as server:
        answers = [server.chat(f"Someone {i}") for i in range(20)]
        right = expected(decision, two[0])
        for answer in answers:
            assert answer.json()["choices"][0]["message"]["content"] == right
            assert answer.headers["x-trimtab-role"] == "champion"
        wait_until(lambda: len(server.traces()) == 40)
        traces = server.traces()
    shown = {t.id: t for t in traces if t.role == "champion"}
    hidden = [t for t in traces if t.role == "shadow"]
    assert {t.of for t in hidden} == set(shown)
    for trace in hidden:
        assert trace.variant == two[1]
        assert trace.output == expected(decision, two[1])
        assert trace.input == shown[trace.of].input


def test_a_swap_under_load_loses_nothing_and_mixes_nothing(folder, url, two, decision) -> None:
    """Every call is answered, by the variant that its headers name, as that variant answers."""
    promote(folder, url, two[0])
    right = {variant: expected(decision, variant) for variant in two}
    assert right[two[0]] != right[two[1]]
    wrong: list[str] = []
    seen: list[str] = []
    stop = threading.Event()
    with running(folder, url, make=by_prompt) as server:

        def ask_on(worker: int) -> None:
            number = 0
            while not stop.is_set():
                number += 1
                answer = server.chat(f"Someone {worker}-{number}")
                if answer.status_code != 200:
                    wrong.append(answer.text)
                    continue
                variant = answer.headers["x-trimtab-variant"]
                content = answer.json()["choices"][0]["message"]["content"]
                if content != right[variant] or "x-trimtab-trace" not in answer.headers:
                    wrong.append(f"{variant}: {content}")
                seen.append(variant)

        threads = [threading.Thread(target=ask_on, args=(i,)) for i in range(6)]
        for thread in threads:
            thread.start()
        for change in range(2, 9):
            if change % 3 == 0:
                database = Database(url)
                deployments.roll_back(database, "names", None, "a test", "undo")
                database.close()
            else:
                promote(folder, url, two[change % 2])
            wait_until(lambda change=change: server.metric("trimtab_deployment") == change)
            before = len(seen)
            wait_until(lambda before=before: len(seen) > before + 10)
        stop.set()
        for thread in threads:
            thread.join()
        traces = server.traces()
    assert wrong == []
    assert set(seen) == set(two)
    assert len(traces) == len(seen)
    assert all(t.output == right[t.variant] for t in traces)
    state = {change.number: change.state for change in _history(url)}
    assert all(state[t.deployment].champion.variant == t.variant for t in traces)


def _history(url: str) -> list[deployments.Change]:
    database = Database(url)
    found = deployments.history(database, "names")
    database.close()
    return found


def test_a_promotion_that_cannot_be_loaded_leaves_the_old_one(folder, url, two) -> None:
    promote(folder, url, two[0])
    with running(folder, url) as server:
        database = Database(url)
        missing = Deployed(run="20200101T000000Z-00000000", variant="gone", name="gone")
        deployments.promote(database, "names", missing, "champion", 0.1, "w", "y")
        database.close()
        wait_until(lambda: server.client.get("/health").status_code == 503)
        assert "change 2 cannot be loaded" in server.client.get("/health").json()["problem"]
        assert server.metric("trimtab_deployment_behind") == 1
        assert server.chat().headers["x-trimtab-variant"] == two[0]
        promote(folder, url, two[1])
        wait_until(lambda: server.chat().headers["x-trimtab-variant"] == two[1])
        assert server.client.get("/health").status_code == 200


def test_what_cannot_be_read_from_the_database_stops_nothing(folder, url, two) -> None:
    promote(folder, url, two[0])
    with running(folder, url) as server:
        database = Database(url)
        database.query(
            "INSERT INTO deployments (task, number, time, who, why, origin, state)"
            " VALUES ('names', 2, 1, 'w', 'y', 2, '{\"champion\": 3}')"
        )
        wait_until(lambda: server.client.get("/health").status_code == 503)
        assert server.chat().headers["x-trimtab-variant"] == two[0]
        database.query("DELETE FROM deployments WHERE number = 2")
        database.close()
        wait_until(lambda: server.client.get("/health").status_code == 200)
        promote(folder, url, two[1])
        wait_until(lambda: server.chat().headers["x-trimtab-variant"] == two[1])


def test_variants_of_one_model_share_its_engine(folder, url, two) -> None:
    made = []

    def make(spec, progress) -> FakeEngine:
        made.append(spec.model)
        return by_prompt(spec, progress)

    promote(folder, url, two[0])
    promote(folder, url, two[1], "canary")
    promote(folder, url, two[1], "shadow")
    with running(folder, url, make=make) as server:
        assert server.chat().status_code == 200
        promote(folder, url, two[1])
        wait_until(lambda: server.metric("trimtab_deployment") == 4)
        assert server.chat().status_code == 200
    assert made == ["m"]
