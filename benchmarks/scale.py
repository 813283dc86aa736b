"""How time and memory of audit, split and report grow with the rows.

    python benchmarks/scale.py [--sizes 1000 10000 100000 1000000]

Each size and part runs in a process of its own, on generated tickets of about 60 characters with a
label: `audit` is what `trimtab audit` does with a file, `split` reads and parts the rows into
memory as `trimtab decide` does, `report` renders a decision that holds the audit's findings. Prints
a line for each and, as last line, one JSON object with seconds, rows a second, peak memory, and the
exponents of growth from each size to the next (1 is linear).
"""

from __future__ import annotations

import argparse
import json
import math
import random
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trimtab.types import Decision

SIZES = (1_000, 10_000, 100_000, 1_000_000)
PARTS = ("audit", "split", "report")
LABELS = ("billing", "delivery", "quality", "account")
TASK = f"""\
name: tickets
instructions: Decide which team answers the ticket.
data: {{path: rows.jsonl, approved_by: the team}}
output: {{kind: label, labels: [{", ".join(LABELS)}]}}
metric: accuracy
goals: {{quality: 0.9}}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--part", choices=PARTS)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    if options.part:
        print(json.dumps(measure(options.part, options.folder)))
        return
    figures = []
    for size in options.sizes:
        with tempfile.TemporaryDirectory() as temporary:
            write_task(Path(temporary), size)
            for part in PARTS:
                figures.append({"rows": size, **in_process(part, Path(temporary))})
                print(json.dumps(figures[-1]), flush=True)
    growth = {part: exponents([each for each in figures if each["part"] == part]) for part in PARTS}
    print(json.dumps({"benchmark": "scale", "figures": figures, "exponents": growth}))


def in_process(part: str, folder: Path) -> dict[str, float | str]:
    command = [sys.executable, __file__, "--part", part, "--folder", str(folder)]
    ended = subprocess.run(command, check=True, capture_output=True, text=True)
    figures: dict[str, float | str] = json.loads(ended.stdout.splitlines()[-1])
    return figures


def measure(part: str, folder: Path) -> dict[str, float | str]:
    """One part in this process, imports not timed; memory counts them."""
    from trimtab.audit.audit import audit
    from trimtab.audit.open import open_subject
    from trimtab.report.html import render_html
    from trimtab.task.open import open_task

    written = folder / "findings.json"
    before = peak()
    started = time.perf_counter()
    rows = 0
    if part == "audit":
        with open_subject(folder) as (_, subject):
            opened_after = time.perf_counter() - started
            findings = audit(subject)
            rows = len(subject.rows)
    elif part == "split":
        rows = len(open_task(folder).examples)
    else:
        rows = json.loads(written.read_text("utf-8"))["rows"]
        decision = decision_with(json.loads(written.read_text("utf-8"))["findings"], rows)
        started = time.perf_counter()
        page = render_html(decision)
        assert page
    seconds = time.perf_counter() - started
    figures: dict[str, float | str] = {
        "part": part,
        "seconds": round(seconds, 3),
        "rows_per_second": round(rows / seconds),
        "peak_mb": round(peak()),
        "mb_before": round(before),
    }
    if part == "audit":
        figures["seconds_to_open"] = round(opened_after, 3)
        shown = [finding.model_dump(mode="json") for finding in findings]
        written.write_text(json.dumps({"rows": rows, "findings": shown}), "utf-8")
    return figures


def decision_with(findings: list[dict[str, object]], rows: int) -> Decision:
    from trimtab.types import Decision, Finding, Verdict

    return Decision(
        task="tickets",
        run="scale",
        created=datetime.now(UTC),
        verdict=Verdict(
            word="inconclusive",
            headline="Nothing was measured.",
            reasons=(),
            would_change=(),
            gates=(),
            rule_sha256="",
        ),
        metric="accuracy",
        goals={"quality": 0.9},
        prompt=None,
        fine_tune=None,
        comparison=None,
        money=None,
        variants=(),
        dev_scores=(),
        curve=(),
        forecast=None,
        audit=tuple(Finding.model_validate(each) for each in findings),
        rows={"train": rows - 400, "dev": 100, "test": 300},
        cases=(),
        planned=(),
        spent=(),
        stopped_by=None,
        test_openings=(),
        settings={},
        environment={},
    )


def peak() -> float:
    """Largest resident memory of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def write_task(folder: Path, size: int) -> None:
    """Rows of words that are rare as in language (Zipf), each label with some of its own; one in 50
    is a near copy of an earlier one, and one in 500 holds an e-mail address."""
    (folder / "task.yaml").write_text(TASK, "utf-8")
    draw = random.Random(size)  # noqa: S311 - reproducible, not secret
    words = [
        "".join(draw.choices("abcdefghiklmnoprstuvw", k=draw.randint(2, 9))) for _ in range(30_000)
    ]
    weights = [1 / (rank + 10) for rank in range(len(words))]
    text = ""
    with (folder / "rows.jsonl").open("w", encoding="utf-8") as file:
        for start in range(0, size, 1_000):
            count = min(1_000, size - start)
            drawn = draw.choices(words, weights, k=10 * count)
            for i in range(count):
                label = draw.choice(LABELS)
                if draw.random() < 0.02 and text:
                    text = f"{text}!"
                else:
                    text = f"{' '.join(drawn[10 * i : 10 * i + 10])} {label[0]}{draw.randrange(40)}"
                mail = f" {words[i]}@example.com" if draw.random() < 0.002 else ""
                file.write(json.dumps({"input": text + mail, "output": label}) + "\n")


def exponents(figures: list[dict[str, float | str]]) -> list[float]:
    """Of time, from each size to the next: seconds grow with rows to this power."""
    return [
        round(
            math.log(float(b["seconds"]) / float(a["seconds"]))
            / math.log(float(b["rows"]) / float(a["rows"])),
            2,
        )
        for a, b in pairwise(figures)
    ]


if __name__ == "__main__":
    main()
