"""The whole life of a decision, as a team lives it: decided, promoted,
served, captured, reviewed, drifted away from, decided again, brought in by stages, rolled back.

Commands and servers are processes, callers use the official client, reviewers a browser.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
import yaml

from chromium import browser, needs_chromium
from decisions import write_rows
from engine.endpoint import Endpoint, Reply
from story import first_weeks as first
from story import letters
from story import second_decision as second
from story.callers import Callers
from story.pages import Person
from story.team import Team
from trimtab.measure import consistency, plan
from trimtab.prompt import ask

pytest.importorskip("playwright.sync_api")

pytestmark = [*needs_chromium, pytest.mark.model]


@pytest.fixture(scope="module")
def chromium():
    with browser() as launched:
        yield launched


@pytest.fixture(scope="module", autouse=True)
def small_decisions() -> Iterator[None]:
    """Decisions take less of what no chapter looks at, and so less than a minute."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "FEWEST_TIMED", 5)
        patch.setattr(plan, "MOST_TIMED", 5)
        patch.setattr(plan, "LAYOUT_SHARE", 0.0)
        patch.setattr(consistency, "SIZES", ((10, 1),))
        patch.setattr(ask, "REASONING_TOKENS", 8)
        yield


@pytest.fixture(scope="module")
def decided(real_model, tmp_path_factory) -> Team:
    """A task with a finished run of the default model. It is copied for each story."""
    root = tmp_path_factory.mktemp("decided")
    folder, models = root / "task", root / "cache" / "models"
    folder.mkdir()
    models.mkdir(parents=True)
    (models / real_model.name).symlink_to(real_model)
    model = {"engine": "local", "machine_per_hour": 0.2}
    task = letters.TASK | {"models": {"prompt": model, "tune": None}}
    (folder / "task.yaml").write_text(yaml.safe_dump(task, sort_keys=False), "utf-8")
    rows = [{"input": line, "output": label} for line, label in letters.plain(0, 70)]
    write_rows(folder / "rows.jsonl", rows)
    team = Team(folder, str(root / "none.sqlite"), {"TRIMTAB_CACHE": str(root / "cache")})
    team.here("decide", folder)
    return team


@pytest.fixture
def webhook():
    server = Endpoint()
    server.script = lambda body, call: Reply()
    yield server
    server.close()


@pytest.fixture
def team(decided, database_url, tmp_path, webhook) -> Team:
    folder = shutil.copytree(decided.folder, tmp_path / "task", symlinks=True)
    settings = {
        "review.yaml": {"batch": 20, "rows": 0},
        "watch.yaml": {
            "traffic": {"fewest_inputs": 50},
            "quality": {"floor": 0.9},
            "alarms": {"webhook": webhook.url, "allow_private": True},
            "retrain": {"shadow_calls": 10, "canary_share": 0.5, "canary_calls": 12},
        },
    }
    for name, content in settings.items():
        (folder / name).write_text(yaml.safe_dump(content), "utf-8")
    return Team(folder, database_url, decided.environment)


def test_a_verdict_is_kept_true(team, chromium, webhook, tmp_path) -> None:
    shots = tmp_path / "shots"
    passwords = first.people(team)
    decision = first.promote_the_winner(team)
    key = first.key_of(team)
    with team.running("serve") as base:
        callers = Callers(base, key)
        first.calls_are_captured(team, callers)
        first.the_calls_change(team, callers)
        first.drift_asks_for_labels(team, webhook)
        first.draw_all(team)
        with team.running("review") as pages:
            reviewer = Person(chromium, pages, "reviewer-1", passwords["reviewer-1"])
            first.some_are_reviewed_by_keyboard(team, reviewer, shots)
            first.the_others_are_imported(team, tmp_path)
            first.quality_calls_for_retraining(team, webhook)
            admin = Person(chromium, pages, "admin-1", passwords["admin-1"])
            admin.shots("home-with-alarms", shots)
            challenger = second.decide_again(team, decision)
            second.bring_in(team, callers, challenger)
            second.go_back_while_calls_come(team, callers, admin)
            admin.shots("home-at-the-end", shots)
            admin.leave()
        second.a_bad_canary_is_taken_back(team, callers, decision)
    second.all_adds_up(team, callers)
