"""The home page: what serves, how good it is, its traffic, alarms and runs; and changing that."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from trimtab.errors import InputError, RunError, TrimtabError
from trimtab.parity import refuse_unproven
from trimtab.predictor import read_decision
from trimtab.review.access import REPORT_POLICY, Visitor
from trimtab.review.agreement import Agreement, agreement
from trimtab.review.render import Pages
from trimtab.review.shared import SharedDatabase
from trimtab.review.views import midnight
from trimtab.serve.promotion import find_candidate
from trimtab.store import deployments
from trimtab.store.database import Database
from trimtab.store.deployments import Change, champion_since, history
from trimtab.store.reviews import all_reviews, count_states
from trimtab.store.rollouts import Rollout, under_way
from trimtab.store.traces import count_calls
from trimtab.store.trail import note, trail
from trimtab.store.watching import Alarm, Check, close_alarm, newest_check, standing
from trimtab.task.spec import Task
from trimtab.types import Decision

DAYS = 14
"""Days of traffic that are shown."""
MOST_RUNS = 20
MOST_CHANGES = 5
LONGEST_REASON = 500
_HEIGHT = 60

_Change = Callable[[Database], None]


@dataclass(frozen=True)
class Day:
    """Kept answers of one day, and the height of its bar in px."""

    day: datetime
    calls: int
    height: int


@dataclass(frozen=True)
class FinishedRun:
    name: str
    decision: Decision
    has_report: bool

    @property
    def winner(self) -> str | None:
        """Name of the variant to use."""
        found = self.decision.winner
        return found.name if found else None


@dataclass(frozen=True)
class Home:
    """All that the page shows of the database. Undefined stays None."""

    changes: list[Change]
    since: Change | None
    """With which the champion's time began."""
    rollout: Rollout | None
    """The staged promotion that is under way."""
    days: list[Day]
    check: Check | None
    alarms: list[Alarm]
    settled: int
    waiting: int
    torn: int
    agreement: Agreement


class HomePages:
    """Handlers; the application has checked who asks before it calls one."""

    def __init__(self, task: Task, folder: Path, shared: SharedDatabase, pages: Pages) -> None:
        self._task = task
        self._folder = folder
        self._shared = shared
        self._pages = pages

    async def home(self, request: Request, visitor: Visitor, form: Mapping[str, str]) -> Response:
        home = await self._shared.call(self._read)
        runs = await self._shared.call(lambda database: finished_runs(self._folder / "runs"))
        champion = home.changes[0].state.champion if home.changes else None
        return self._pages.page(
            "home.html.j2",
            visitor,
            home=home,
            runs=runs,
            champion=champion,
            said_key=request.query_params.get("said"),
        )

    async def report(self, request: Request, visitor: Visitor, form: Mapping[str, str]) -> Response:
        """The report of a run, which is named by one of the folders in `runs`."""
        name = str(request.path_params["run"])
        names = {path.parent.name for path in (self._folder / "runs").glob("*-*/report.html")}
        if name not in names:
            return self._pages.problem(visitor, 404, "There is no such report.")
        text = (self._folder / "runs" / name / "report.html").read_text("utf-8")
        return HTMLResponse(text, headers={"content-security-policy": REPORT_POLICY})

    async def promote(
        self, request: Request, visitor: Visitor, form: Mapping[str, str]
    ) -> Response:
        """The winner of a finished run becomes the champion, after the checks of `promote`."""

        def change(database: Database) -> None:
            why = _reason(form)
            runs = {run.name for run in finished_runs(self._folder / "runs")}
            name = form.get("run", "")
            if name not in runs:
                raise InputError("there is no such finished run")
            run = str(self._folder / "runs" / name)
            found = find_candidate(run, self._folder, refuse_unproven)
            done = deployments.promote(
                database, found.task, found.deployed, "champion", 0.0, visitor.reviewer.name, why
            )
            self._note(database, visitor, "promoted", f"change {done.number}: {name}: {why}")

        return await self._changed(visitor, change, "promoted")

    async def roll_back(
        self, request: Request, visitor: Visitor, form: Mapping[str, str]
    ) -> Response:
        def change(database: Database) -> None:
            why = _reason(form)
            name = visitor.reviewer.name
            done = deployments.roll_back(database, self._task.name, None, name, why)
            self._note(database, visitor, "rolled back", f"change {done.number}: {why}")

        return await self._changed(visitor, change, "rolled-back")

    async def close_alarm(
        self, request: Request, visitor: Visitor, form: Mapping[str, str]
    ) -> Response:
        def change(database: Database) -> None:
            why, alarm = _reason(form), form.get("alarm", "")
            if not alarm.isalnum():
                raise InputError("there is no such alarm")
            close_alarm(database, self._task.name, alarm, visitor.reviewer.name, why)
            self._note(database, visitor, "closed an alarm", f"{alarm}: {why}")

        return await self._changed(visitor, change, "closed")

    async def trail(self, request: Request, visitor: Visitor, form: Mapping[str, str]) -> Response:
        steps = await self._shared.call(lambda database: trail(database, self._task.name))
        return self._pages.page("trail.html.j2", visitor, steps=steps)

    async def _changed(self, visitor: Visitor, change: _Change, said: str) -> Response:
        try:
            await self._shared.call(change)
        except TrimtabError as problem:
            return self._pages.problem(visitor, 422, f"{problem}.")
        return RedirectResponse(f"/?said={said}", 303)

    def _note(self, database: Database, visitor: Visitor, what: str, detail: str) -> None:
        note(database, self._task.name, visitor.reviewer.name, what, detail)

    def _read(self, database: Database) -> Home:
        task = self._task.name
        counts = count_states(database, task)
        by_state = {
            state: sum(count for (_, each), count in counts.items() if each == state)
            for state in ("open", "torn", "done")
        }
        return Home(
            changes=history(database, task, MOST_CHANGES),
            since=champion_since(database, task),
            rollout=under_way(database, task),
            days=_days(database, task),
            check=newest_check(database, task),
            alarms=standing(database, task),
            settled=by_state["done"],
            waiting=by_state["open"],
            torn=by_state["torn"],
            agreement=agreement(all_reviews(database, task)),
        )


def finished_runs(runs: Path) -> list[FinishedRun]:
    """The newest first; one that cannot be read is passed over."""
    found = []
    for verdict in sorted(runs.glob("*-*/verdict.json"), reverse=True)[:MOST_RUNS]:
        folder = verdict.parent
        try:
            decision = _decision(folder, verdict.stat().st_mtime_ns)
        except (RunError, OSError):
            continue
        found.append(FinishedRun(folder.name, decision, (folder / "report.html").exists()))
    return found


@lru_cache(maxsize=2 * MOST_RUNS)
def _decision(folder: Path, changed: int) -> Decision:
    """Read anew when the file changes."""
    return read_decision(folder)


def _days(database: Database, task: str) -> list[Day]:
    today = midnight()
    starts = [today - timedelta(days=back) for back in range(DAYS - 1, -1, -1)]
    calls = []
    for start in starts:
        roles = count_calls(database, task, start, start + timedelta(days=1))
        calls.append(sum(count for role, count in roles.items() if role != "shadow"))
    most = max([1, *calls])
    return [
        Day(start, count, round(_HEIGHT * count / most) or (1 if count else 0))
        for start, count in zip(starts, calls, strict=True)
    ]


def _reason(form: Mapping[str, str]) -> str:
    why = " ".join(form.get("reason", "").split())
    if not why:
        raise InputError("give a reason; it is kept with the change")
    if len(why) > LONGEST_REASON:
        raise InputError(f"a reason may have {LONGEST_REASON} characters")
    return why
