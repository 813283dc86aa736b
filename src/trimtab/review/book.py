"""Takes what reviewers say, settles items, and writes `reviewed.jsonl`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from trimtab.errors import InputError
from trimtab.review.ledger import Ledger
from trimtab.review.settle import Settled, settled
from trimtab.score.base import Answered, RowScorer
from trimtab.score.registry import scorer_for
from trimtab.store.database import Database
from trimtab.store.reviews import (
    JUDGED,
    Action,
    Item,
    Outcome,
    Review,
    State,
    add_review,
    get_item,
    items_in,
    last_review,
    outcomes,
    reviews_of,
    settle,
    withdraw,
)
from trimtab.store.traces import new_id
from trimtab.store.trail import note
from trimtab.task.contract import canonical_target, violation
from trimtab.task.spec import Task
from trimtab.types import Scored

LONGEST_TARGET = 100_000
LONGEST_COMMENT = 4_000

Scorer = Callable[[Item, Outcome], float | None]


class Book:
    """Keeps the reviews of one task.

    A call in which something was masked counts for quality, and is a row of `reviewed.jsonl` with
    `masked_rows` only: production never sees such an input.

    Raises:
        InputError: from `take` and `undo`, with a sentence for the reviewer; nothing is changed.
        DatabaseUnavailable: nothing is changed either.
    """

    def __init__(self, task: Task, folder: Path, *, masked_rows: bool = False) -> None:
        self._task = task
        self._masked_rows = masked_rows
        self._score = _scorer(task, folder)
        self._ledger = Ledger(folder)

    def take(
        self,
        database: Database,
        reviewer: str,
        item_id: str,
        action: Action,
        target: str | None = None,
        comment: str = "",
        *,
        is_admin: bool = False,
        time: datetime | None = None,
        write: bool = True,
    ) -> State:
        """Keep what `reviewer` says of an item; the item's state after it.

        A correction that equals the answer approves it. On a torn item, it decides; of the two who
        differ, only an administrator may.

        Args:
            time: when it was said, if not now.
            write: False: `reviewed.jsonl` is left to a later `write_missing`.
        """
        if len(comment) > LONGEST_COMMENT:
            raise InputError(f"a comment may have {LONGEST_COMMENT:,} characters")
        with database.transaction(lock="reviews"):
            item, state = self._item(database, item_id)
            self._check_turn(database, item, state, reviewer, is_admin)
            action, target = self._checked(item, action, target)
            review = Review(
                id=new_id(),
                task=self._task.name,
                item=item.id,
                reviewer=reviewer,
                time=time or datetime.now(UTC),
                action=action,
                target=target,
                comment=comment.strip() or None,
                adjudicates=state == "torn" and action in JUDGED,
            )
            add_review(database, review)
            now = self._settle(database, item)
            what = "decided between two" if review.adjudicates else "reviewed"
            note(database, self._task.name, reviewer, what, f"item {item.id}: {action}")
        if write:
            self._write([(item, now.outcome)])
        return now.state

    def undo(self, database: Database, reviewer: str) -> Item:
        """Take back what this reviewer said last; the item is then open to them again."""
        with database.transaction(lock="reviews"):
            last = last_review(database, self._task.name, reviewer)
            if last is None:
                raise InputError("there is nothing to undo")
            item, _ = self._item(database, last.item)
            later = [each for each in reviews_of(database, item.id) if each.time > last.time]
            if any(each.adjudicates for each in later):
                raise InputError("someone decided on this item since, so it stays as it is")
            withdraw(database, last.id)
            now = self._settle(database, item)
            note(database, self._task.name, reviewer, "undid", f"item {item.id}")
        self._write([(item, now.outcome)])
        return item

    def write_missing(self, database: Database) -> int:
        """Bring `reviewed.jsonl` to what the database says, as after a kill; how many lines it
        took. Lines of items that this database does not know stay as they are."""
        said = {item.id: (item, outcome) for item, outcome in outcomes(database, self._task.name)}
        undone = [item for item, state in items_in(database, self._task.name) if state != "done"]
        return self._write([*said.values(), *((item, None) for item in undone)])

    def _write(self, items: Sequence[tuple[Item, Outcome | None]]) -> int:
        """A masked call has no line, and loses one that it had."""
        kept = self._masked_rows
        return self._ledger.write(
            [(item, outcome if kept or not item.redacted else None) for item, outcome in items]
        )

    def _item(self, database: Database, item_id: str) -> tuple[Item, State]:
        found = get_item(database, self._task.name, item_id)
        if found is None:
            raise InputError("there is no such item any more")
        return found

    def _check_turn(
        self, database: Database, item: Item, state: State, reviewer: str, is_admin: bool
    ) -> None:
        if state == "done":
            raise InputError("someone else has just reviewed this item; here is the next one")
        judged = [
            review.reviewer for review in reviews_of(database, item.id) if review.action != "skip"
        ]
        if reviewer in judged and not (state == "torn" and is_admin):
            raise InputError("you reviewed this item before; undo that to change it")

    def _checked(self, item: Item, action: Action, target: str | None) -> tuple[Action, str | None]:
        """The action, and the target as the contract writes it."""
        if action not in ("approve", "correct"):
            return action, None
        given = item.answer if action == "approve" else target
        if given is None or not given.strip():
            raise InputError("the correction is empty; write what the answer should be")
        if len(given) > LONGEST_TARGET:
            raise InputError(f"an answer may have {LONGEST_TARGET:,} characters")
        problem = violation(self._task.output, given)
        if problem is not None:
            what = "this answer" if action == "approve" else "the correction"
            raise InputError(f"{what} is not allowed: {problem}")
        text = canonical_target(self._task.output, given)
        return ("approve" if text == item.answer else "correct"), text

    def _settle(self, database: Database, item: Item) -> Settled:
        now = settled(reviews_of(database, item.id), item.needed)
        score = None if now.outcome is None else self._score(item, now.outcome)
        settle(database, item.id, now.state, now.outcome, score)
        return now


def _scorer(task: Task, folder: Path) -> Scorer:
    """Scores an answer by the task's metric. Unknown where a judge model decides: its scores and a
    person's word are not on one scale."""
    if task.metric == "judge":
        return lambda item, outcome: None
    plain = task.model_copy(update={"scoring": task.scoring.model_copy(update={"judge": None})})
    made: list[RowScorer] = []

    def score(item: Item, outcome: Outcome) -> float | None:
        if outcome.target is None:
            return 0.0
        if not made:
            made.append(scorer_for(plain, folder))
        (found,) = made[0].score_rows([Answered(item.input, outcome.target, item.answer)])
        return found.metrics[task.metric] if isinstance(found, Scored) else None

    return score
