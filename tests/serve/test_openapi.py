"""The description is true: nothing that schemathesis makes of it gets an answer that it lacks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import Phase, given, settings
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks as of_openapi

from trimtab import __version__
from trimtab.serve.openapi import description
from trimtab.serve.settings import Limits, ServeSettings
from trimtab.store.database import Database
from trimtab.store.keys import add_key

from .servers import Running, promote, running

CHECKS = [
    not_a_server_error,
    of_openapi.status_code_conformance,
    of_openapi.content_type_conformance,
    of_openapi.response_headers_conformance,
    of_openapi.response_schema_conformance,
]
OPERATIONS = [
    (method, path) for path, item in description("names")["paths"].items() for method in item
]
OPEN = {"/health", "/metrics", "/openapi.json"}
MADE_UP = {"/v1/feedback", "/v1/models/{model}"}
"""Ask for a trace or a model by a name, and made-up ones are not there."""
EXAMPLES = 80


@pytest.fixture(scope="module")
def served(decided, tmp_path_factory) -> Iterator[tuple[Running, str]]:
    """A server whose champion is the run's winner, and a key that it takes."""
    url = str(tmp_path_factory.mktemp("database") / "production.sqlite")
    promote(decided[0], url)
    database = Database(url)
    key = add_key(database, "names", "n", "w")
    database.close()
    without_haste = ServeSettings(limits=Limits(calls_per_minute=10**6))
    with running(decided[0], url, without_haste) as server:
        yield server, key


@pytest.fixture(scope="module")
def api(served) -> Any:
    server, _ = served
    return schemathesis.openapi.from_url(f"{server.base}/openapi.json")


def met(
    api: Any, method: str, path: str, mode: GenerationMode, headers: dict, examples: int = EXAMPLES
) -> Counter[int]:
    """How often each status was met; every answer is one that the description has."""
    statuses: Counter[int] = Counter()

    @settings(max_examples=examples, derandomize=True, database=None, phases=[Phase.generate])
    @given(case=api[path][method].as_strategy(generation_mode=mode))
    def ask(case: Case) -> None:
        answer = case.call(headers=headers)
        case.validate_response(answer, checks=CHECKS)
        statuses[answer.status_code] += 1

    ask()
    return statuses


def key_of(served) -> dict[str, str]:
    return {"authorization": f"Bearer {served[1]}"}


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_what_the_description_allows_is_answered_as_it_says(served, api, method, path) -> None:
    statuses = met(api, method, path, GenerationMode.POSITIVE, key_of(served))
    if path in MADE_UP:
        assert 404 in statuses
    else:
        assert 200 in statuses


@pytest.mark.parametrize("path", [path for method, path in OPERATIONS if method == "post"])
def test_what_the_description_forbids_meets_no_other_answer(served, api, path) -> None:
    statuses = met(api, "post", path, GenerationMode.NEGATIVE, key_of(served))
    assert 400 in statuses


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_without_a_key_only_what_is_open_to_all_is_answered(api, method, path) -> None:
    for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
        if mode is GenerationMode.NEGATIVE and method == "get":
            continue
        statuses = met(api, method, path, mode, {"authorization": "Bearer tt_wrong"}, 15)
        assert set(statuses) == {200 if path in OPEN else 401}


def test_every_route_is_described_and_no_other(served) -> None:
    server, _ = served
    routes = {
        (method.lower(), route.path)
        for route in server.server.app().routes
        for method in route.methods - {"HEAD"}
    }
    assert routes == set(OPERATIONS)


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_other_methods_are_told_which_there_are(served, method, path) -> None:
    server, _ = served
    for other in {"get", "post", "put", "patch", "delete"} - {method}:
        answer = server.client.request(other, path.replace("{model}", "names"))
        assert answer.status_code == 405
        assert method.upper() in answer.headers["allow"]


def test_feedback_on_a_real_answer_and_a_stream_are_as_described(served, api) -> None:
    server, _ = served
    headers = key_of(served)
    trace = server.chat(headers=headers).headers["x-trimtab-trace"]
    body = {"trace": trace, "rating": "up"}
    case = api["/v1/feedback"]["post"].Case(body=body, media_type="application/json")
    assert case.call_and_validate(headers=headers, checks=CHECKS).status_code == 201
    body = {"model": "names", "prompt": "Anna Brown", "stream": True}
    case = api["/v1/completions"]["post"].Case(body=body, media_type="application/json")
    answer = case.call_and_validate(headers=headers, checks=CHECKS)
    assert answer.headers["content-type"][0].startswith("text/event-stream")


def test_it_names_the_task_and_the_version() -> None:
    found = description("names")
    assert found["info"]["version"] == __version__
    assert found["components"]["schemas"]["Name"]["const"] == "names"
    assert description("other")["components"]["schemas"]["Name"]["const"] == "other"
