"""Other ways to decide the same cases."""

from __future__ import annotations

import json
import subprocess
import tempfile
from functools import cache
from pathlib import Path

from benchmarks._pairs import peer_python
from benchmarks.truth.pools import Pool
from benchmarks.truth.teams import Team, Told
from benchmarks.truth.verdicts import gained

from trimtab.decide.thresholds import THRESHOLDS
from trimtab.types import Word

TRAINJUDGE = "trainjudge==0.3.1"
ROWS_THAT_TUNE = 500


def always_prompt(rows: int) -> Word:
    return "prompt"


def tune_from_500_rows(rows: int) -> Word:
    return "fine-tune" if rows >= ROWS_THAT_TUNE else "prompt"


def estimates_alone(team: Team, told: Told) -> Word:
    """The rule without its caution: what the sealed test measured is taken for what is true.

    It shows what asking for certainty costs, and never says that it cannot tell.
    """
    quality = told.scores[0].quality.estimate
    if quality is None or quality >= team.goal:
        return "prompt"
    money = told.money
    gap, saves = told.comparison.difference.estimate, money.saving_per_month.estimate
    if gap is None or saves is None or saves <= 0:
        return "prompt"
    if not gained(gap, team.least, money.prompt_per_call, money.tune_per_call):
        return "prompt"
    return "fine-tune" if team.train >= THRESHOLDS.fewest_rows else "collect-data"


class TrainJudge:
    """`trainjudge diagnose`, told the task's instructions as the goal and that prompting was tried.

    It looks at the goal's words and at the rows' shape and number, and at no measurement, so teams
    with as many rows of one task get one answer.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self.word = cache(self._word)

    def _word(self, rows: int) -> Word:
        command = Path(peer_python("trainjudge", [TRAINJUDGE])).with_name("trainjudge")
        task = self._pool.task
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "rows.jsonl"
            examples = [*self._pool.rows, *self._pool.training[0]][:rows]
            path.write_text(
                "".join(
                    json.dumps({"prompt": row.input, "completion": row.target}) + "\n"
                    for row in examples
                ),
                "utf-8",
            )
            told = subprocess.run(
                [
                    str(command),
                    "diagnose",
                    *("--dataset", str(path), "--model", task.models.prompt.model),
                    *("--goal", task.instructions, "--tried-prompting", "--json"),
                ],
                check=True,
                capture_output=True,
                text=True,
            )
        return "fine-tune" if json.loads(told.stdout)["fine_tune_recommended"] else "prompt"
