"""Every error that Trimtab raises on purpose.

TrimtabError                  exit code 1: something went wrong that is not the input's fault
├── InputError                exit code 2: what the user gave cannot be used; where, and what to do
│   ├── TaskError             the task file
│   ├── DataError             the data files
│   ├── ModelError            a model that does not exist, or is not what it should be
│   └── RunError              a run directory of another version or model, in use, or damaged
├── EngineUnavailable         exit code 2: an endpoint that is down, or answers something else
├── DatabaseUnavailable       exit code 2: the database of production cannot be reached or written
├── BudgetSpent               internal: a hard budget ended a stage; what is there decides
└── DiskFull                  exit code 2: nothing more can be written; what was written is whole
"""

from __future__ import annotations


class TrimtabError(Exception):
    """Base of all. `exit_code` is what the command line returns."""

    exit_code = 1


class InputError(TrimtabError):
    """What the user gave cannot be used; the message says where, and what to do."""

    exit_code = 2


class TaskError(InputError):
    pass


class DataError(InputError):
    pass


class ModelError(InputError):
    pass


class RunError(InputError):
    pass


class EngineUnavailable(TrimtabError):
    exit_code = 2


class DatabaseUnavailable(TrimtabError):
    exit_code = 2


class DiskFull(TrimtabError):
    exit_code = 2


class BudgetSpent(TrimtabError):
    """A hard budget was reached. `what` names it, as in "15 minutes"."""

    def __init__(self, what: str) -> None:
        super().__init__(f"the budget is spent: {what}")
        self.what = what
