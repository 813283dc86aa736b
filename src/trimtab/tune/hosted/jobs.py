"""The fine-tuning jobs of one run: what is asked of the endpoint is on disk before it is asked.

A run that is killed goes on with the jobs that it made. Each job carries a key that only this run
has, so that a job whose making was cut off is found again and no second one is made.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from pydantic import Field, ValidationError

from trimtab.errors import EngineUnavailable, RunError
from trimtab.store.files import write_atomic
from trimtab.tune.hosted.client import Busy, FineTuningClient, Refused, Unsure
from trimtab.tune.hosted.wire import Job, new_job, shown
from trimtab.types import HostedJob, Noun

_ASKED_AGAIN = 3
"""Times that a job is asked for whose making nobody can tell of."""
_SETTLING_S = 2.0
"""What a job that was made may need to appear in the list."""


class JobBook(Noun):
    """`jobs.json`."""

    key: str
    """Random, so that no other run has it."""
    files: dict[str, str] = Field(default_factory=dict)
    """Ids of uploaded files, by the SHA-256 of their content."""
    jobs: tuple[HostedJob, ...] = ()


@dataclass(frozen=True)
class Wanted:
    """What all jobs of a run have in common."""

    model: str
    epochs: int
    seed: int
    suffix: str
    validation: bytes
    """File of the dev rows."""


class Jobs:
    """One job for each training size, and what became of it.

    All methods that ask the endpoint raise `EngineUnavailable`.
    """

    def __init__(
        self,
        client: FineTuningClient,
        path: Path,
        wanted: Wanted,
        contents: Mapping[int, bytes],
        tokens: Mapping[int, int],
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """`contents` are the training files, `tokens` the estimated training tokens, by rows."""
        self._client = client
        self._path = path
        self._wanted = wanted
        self._contents = contents
        self._sleep = sleep
        self._book = read_book(path) or JobBook(key=uuid4().hex)
        known = {job.rows for job in self._book.jobs}
        new = [HostedJob(rows=n, estimated_tokens=tokens[n]) for n in contents if n not in known]
        self._write(jobs=tuple(sorted([*self._book.jobs, *new], key=lambda job: job.rows)))

    @property
    def all(self) -> tuple[HostedJob, ...]:
        return self._book.jobs

    @property
    def under_way(self) -> tuple[HostedJob, ...]:
        """Jobs that the endpoint works on, or may work on."""
        return tuple(job for job in self.all if job.status in ("asked for", "running"))

    @property
    def to_make(self) -> tuple[HostedJob, ...]:
        """Jobs that were never made, or of which that is not known."""
        return tuple(
            job
            for job in self.all
            if job.status == "asked for" or (job.status == "not made" and job.problem is None)
        )

    def make(self, known: HostedJob) -> None:
        """Ask for a job, unless it exists. Where the endpoint takes no more jobs now, it is still
        to be made after."""
        rows = known.rows
        try:
            training = self._file(self._contents[rows])
            validation = self._file(self._wanted.validation)
            asked_at = known.asked_at or time.time()
            self._note(rows, status="asked for", asked_at=asked_at)
            job = self._made(rows, training, validation, known)
        except Busy:
            self._note(rows, status="not made", asked_at=None)
        except Refused as error:
            self._note(rows, status="failed", problem=f"it was refused: {error}")
        else:
            self._note(rows, status="running", job=job.id)

    def refresh(self) -> None:
        """Hear of every job that runs."""
        for known in self.all:
            if known.status == "running" and known.job is not None:
                self._hear(known, self._client.retrieve(known.job))

    def cancel_all(self, why: str) -> None:
        """Stop all that is under way; what is already charged is noted."""
        for known in self.under_way:
            found = known.job or self._cut_off(known)
            if found is None:
                self._note(known.rows, status="not made")
                continue
            job = self._client.cancel(found)
            if job.ended:
                self._hear(known, job, cancelled=why)
            else:
                tokens = job.trained_tokens
                self._note(known.rows, status="cancelled", job=found, trained_tokens=tokens)
        for known in self.all:
            if known.status in ("cancelled", "not made") and known.problem is None:
                self.give_up(known, why)

    def give_up(self, known: HostedJob, why: str) -> None:
        """Note why there is no such job, or why it was stopped."""
        self._note(known.rows, problem=why)

    def training_sha256(self, rows: int) -> str:
        """Of the file that the job on so many rows is trained on."""
        return _sha256(self._contents[rows])

    def _made(self, rows: int, training: str, validation: str, before: HostedJob) -> Job:
        """The job, found or made. Raises `Busy` and `Refused`."""
        wanted = new_job(
            self._wanted.model,
            training,
            validation,
            epochs=self._wanted.epochs,
            seed=self._wanted.seed,
            suffix=self._wanted.suffix,
            key=self._key(rows),
        )
        in_doubt, problem = before.status == "asked for", ""
        for _ in range(_ASKED_AGAIN):
            if in_doubt and (job := self._found(rows, training)):
                return job
            try:
                return self._client.create(wanted)
            except Unsure as error:
                in_doubt, problem = True, str(error)
        if job := self._found(rows, training):
            return job
        raise EngineUnavailable(
            f"the fine-tuning job on {rows} rows could not be made: {problem}; run the same "
            "command again later"
        )

    def _cut_off(self, known: HostedJob) -> str | None:
        """The id of a job of which it is not known whether it was made."""
        training = self._book.files[_sha256(self._contents[known.rows])]
        job = self._found(known.rows, training)
        return job.id if job else None

    def _found(self, rows: int, training: str) -> Job | None:
        self._sleep(_SETTLING_S)
        return self._client.find(self._key(rows), training)

    def _key(self, rows: int) -> str:
        return f"{self._book.key}-{rows}"

    def _file(self, content: bytes) -> str:
        """The id of the uploaded file with this content; each run puts up its own."""
        sha256 = _sha256(content)
        if sha256 not in self._book.files:
            name = f"trimtab-{self._book.key}-{sha256[:16]}.jsonl"
            found = self._client.file_named(name) or self._client.upload(name, content)
            self._write(files={**self._book.files, sha256: found})
        return self._book.files[sha256]

    def _hear(
        self, known: HostedJob, job: Job, cancelled: str = "it was cancelled at the endpoint"
    ) -> None:
        """Note how a job ended, if it has."""
        if not job.ended:
            return
        seconds = job.seconds
        if seconds is None and known.asked_at is not None:
            seconds = max(0.0, time.time() - known.asked_at)
        status, problem = job.status, None
        if status == "succeeded" and job.fine_tuned_model is None:
            status, problem = "failed", "the endpoint names no model that came of it"
        elif status == "failed":
            told = job.problem or shown(self._client.last_error(job.id) or "")
            problem = f"it failed: {told or 'the endpoint does not say why'}"
        elif status == "cancelled":
            problem = cancelled
        self._note(
            known.rows,
            status=status,
            job=job.id,
            seconds=seconds,
            trained_tokens=job.trained_tokens,
            problem=problem,
        )

    def _note(self, rows: int, **changes: object) -> None:
        self._write(
            jobs=tuple(
                job.model_copy(update=changes) if job.rows == rows else job for job in self.all
            )
        )

    def _write(self, **changes: object) -> None:
        self._book = self._book.model_copy(update=changes)
        write_atomic(self._path, self._book.model_dump_json(indent=2) + "\n")


def read_book(path: Path) -> JobBook | None:
    """The jobs that a run has asked for; None where it has asked for none.

    Raises:
        RunError: the file is damaged.
    """
    try:
        return JobBook.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise RunError(
            f"{path} is damaged or of another version: {error.errors()[0]['msg']}. Look at the "
            "endpoint for jobs under way, then start a fresh run with --fresh"
        ) from error


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
