"""A judge on the fake engine, for tests of several folders."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from trimtab.engine.cache import RequestCache
from trimtab.engine.fake import FakeEngine
from trimtab.score.judge import Judge
from trimtab.task.spec import JudgeSpec, ModelSpec
from trimtab.types import Completion, Failed

MODEL = ModelSpec(engine="fake", model="judge")


@dataclass
class Book:
    """An account that allows `left` calls, and keeps all that was booked."""

    left: int = 10**6
    booked: list[Completion | Failed] = field(default_factory=list)

    def allowance(self) -> int:
        return self.left

    def book(self, answer: Completion | Failed) -> None:
        self.booked.append(answer)


def shown(messages) -> dict[str, str]:
    """What the judge was given."""
    return json.loads(messages[-1].content)


def judge(tmp_path, says, *, fail=None, account=None, **spec) -> Judge:
    """`says(messages, decoding)` is the judge's answer."""
    settings = {"model": MODEL, "rubric": "Is it right?"} | spec
    return Judge(
        JudgeSpec(**settings),
        FakeEngine(says, fail=fail, model_id="fake:judge"),
        RequestCache(tmp_path / "judge.sqlite"),
        account or Book(),
    )
