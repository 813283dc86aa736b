"""The pages of the queue: the next item, what is said of it, undo, and items that are torn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from trimtab.errors import InputError
from trimtab.review.access import Visitor
from trimtab.review.book import Book
from trimtab.review.forms import FieldProblem, read_form
from trimtab.review.guidelines import Block
from trimtab.review.queue import Claims
from trimtab.review.render import Pages
from trimtab.review.shared import SharedDatabase
from trimtab.review.views import LABEL, TEXT, ItemView, item_view, midnight
from trimtab.store.database import Database
from trimtab.store.reviews import (
    Action,
    Item,
    Review,
    State,
    count_states,
    get_item,
    items_in,
    judged_since,
    reviews_of,
    waiting_items,
)
from trimtab.task.contract import canonical_target
from trimtab.task.spec import Task
from trimtab.types import OutputContract

ACTIONS = ("approve", "correct", "reject", "skip", "unknown")


@dataclass(frozen=True)
class Progress:
    settled: int
    total: int
    torn: int
    today: int


class ItemPages:
    """Handlers; the application has checked who asks before it calls one."""

    def __init__(
        self,
        task: Task,
        shared: SharedDatabase,
        book: Book,
        guidelines: list[Block],
        pages: Pages,
    ) -> None:
        self._task = task
        self._shared = shared
        self._book = book
        self._guidelines = guidelines
        self._pages = pages
        self._claims = Claims()

    async def next(self, request: Request, visitor: Visitor, form: Mapping[str, str]) -> Response:
        """The first item that this reviewer has not judged."""
        name = visitor.reviewer.name
        waiting, progress = await self._shared.call(
            lambda database: (
                waiting_items(database, self._task.name, name),
                self._progress(database, name),
            )
        )
        chosen = self._claims.choose(waiting, name)
        said = request.query_params.get("said")
        if chosen is None:
            return self._pages.page("empty.html.j2", visitor, progress=progress, said_key=said)
        view = item_view(self._task.output, chosen, "open", ())
        return self._page(visitor, view, progress, said)

    async def show(self, request: Request, visitor: Visitor, form: Mapping[str, str]) -> Response:
        """One item by its id, to decide it, or after an undo."""
        found = await self._shared.call(
            lambda database: self._found(database, visitor, _item_id(request))
        )
        if found is None:
            return self._pages.problem(visitor, 404, "There is no such item any more.")
        item, state, reviews, progress = found
        if state == "done":
            return self._pages.problem(visitor, 409, "This item is settled.")
        view = item_view(self._task.output, item, state, reviews)
        return self._page(visitor, view, progress, request.query_params.get("said"))

    async def take(self, request: Request, visitor: Visitor, form: Mapping[str, str]) -> Response:
        """What a reviewer says of an item."""
        identity = _item_id(request)
        found = await self._shared.call(lambda database: self._found(database, visitor, identity))
        if found is None:
            return self._pages.problem(visitor, 404, "There is no such item any more.")
        item, state, reviews, progress = found

        def again(problem: str | None, field: str | None, status: int) -> Response:
            view = item_view(self._task.output, item, state, reviews, form, problem, field)
            return self._page(visitor, view, progress, None, status)

        try:
            if form.get("action") == "preview":
                return again(None, None, 200)
            action, target = wanted(self._task.output, item, reviews, form)
            await self._shared.call(
                lambda database: self._book.take(
                    database,
                    visitor.reviewer.name,
                    identity,
                    action,
                    target,
                    form.get("comment", ""),
                    is_admin=visitor.is_admin,
                )
            )
        except FieldProblem as problem:
            return again(str(problem), problem.name, 422)
        except InputError as problem:
            return again(str(problem), None, 422)
        self._claims.release(identity, visitor.reviewer.name)
        back = "/torn" if state == "torn" else "/review"
        return RedirectResponse(f"{back}?said={action}", 303)

    async def undo(self, request: Request, visitor: Visitor, form: Mapping[str, str]) -> Response:
        try:
            item = await self._shared.call(
                lambda database: self._book.undo(database, visitor.reviewer.name)
            )
        except InputError as problem:
            return self._pages.problem(visitor, 409, f"{problem}.")
        return RedirectResponse(f"/review/{item.id}?said=undone", 303)

    async def torn(self, request: Request, visitor: Visitor, form: Mapping[str, str]) -> Response:
        """Items on which two reviewers differ, for someone else to decide."""

        def read(database: Database) -> list[tuple[Item, bool]]:
            found = []
            for item, _ in items_in(database, self._task.name, "torn"):
                own = visitor.reviewer.name in {r.reviewer for r in reviews_of(database, item.id)}
                found.append((item, visitor.is_admin or not own))
            return found

        items = await self._shared.call(read)
        said = request.query_params.get("said")
        return self._pages.page("torn.html.j2", visitor, items=items, said_key=said)

    def _page(
        self,
        visitor: Visitor,
        view: ItemView,
        progress: Progress,
        said: str | None,
        status: int = 200,
    ) -> Response:
        return self._pages.page(
            "item.html.j2",
            visitor,
            status,
            view=view,
            contract=self._task.output,
            progress=progress,
            guidelines=self._guidelines,
            said_key=said,
        )

    def _found(
        self, database: Database, visitor: Visitor, identity: str
    ) -> tuple[Item, State, list[Review], Progress] | None:
        found = get_item(database, self._task.name, identity) if identity.isalnum() else None
        if found is None:
            return None
        progress = self._progress(database, visitor.reviewer.name)
        return *found, reviews_of(database, identity), progress

    def _progress(self, database: Database, reviewer: str) -> Progress:
        counts = count_states(database, self._task.name)
        return Progress(
            settled=sum(count for (_, state), count in counts.items() if state == "done"),
            total=sum(counts.values()),
            torn=sum(count for (_, state), count in counts.items() if state == "torn"),
            today=judged_since(database, self._task.name, reviewer, midnight()),
        )


def wanted(
    contract: OutputContract, item: Item, reviews: list[Review], form: Mapping[str, str]
) -> tuple[Action, str | None]:
    """What a form asks for: an action, and the target of a correction.

    Raises:
        InputError: it asks for nothing that there is, or approves what it also changes.
        FieldProblem: a field cannot be read.
    """
    if (label := form.get(f"pick-{LABEL}")) is not None:
        return "correct", label
    if (other := form.get("pick-other")) is not None:
        return "correct", _picked(item, other)
    if (taken := form.get("pick-review")) is not None:
        for review in reviews:
            if review.id == taken:
                return ("reject", None) if review.target is None else ("correct", review.target)
        raise InputError("that review was taken back; look again")
    action = form.get("action")
    if action not in ACTIONS:
        raise InputError("choose what to say of this item")
    if action not in ("approve", "correct"):
        return cast(Action, action), None
    if action == "approve" and item.problem is not None:
        return "approve", None  # refused with the reason, whatever the form holds
    target = _edited(contract, item, form)
    if action == "approve" and not _same(contract, item, target):
        raise InputError(
            "you changed the answer: save it as a correction, or change it back to approve it"
        )
    return ("correct", target) if action == "correct" else ("approve", None)


def _edited(contract: OutputContract, item: Item, form: Mapping[str, str]) -> str | None:
    """The answer as the form has it; None where the form has none."""
    if contract.kind == "json":
        return read_form(contract, item.answer, form)
    if contract.kind == "label":
        return form.get(LABEL) or None
    text = form.get(TEXT)
    if text is None:
        return None
    # Browsers send other line ends than they were given.
    text, answer = (each.replace("\r\n", "\n") for each in (text, item.answer))
    return item.answer if text == answer else text


def _same(contract: OutputContract, item: Item, target: str | None) -> bool:
    if contract.kind == "label" or target is None:
        return True  # the list beside the button says what a correction would be
    return canonical_target(contract, target) == item.answer


def _picked(item: Item, number: str) -> str:
    if number.isdecimal() and int(number) < len(item.others):
        return item.others[int(number)]
    raise InputError("there is no such answer to take")


def _item_id(request: Request) -> str:
    return str(request.path_params["item"])
