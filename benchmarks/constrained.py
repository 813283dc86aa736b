"""What decoding under a JSON schema costs: time per token, constrained against free.

    python benchmarks/constrained.py [--rows 64] [--rounds 3]

The local engine answers addresses with the default model behind 8 fixed demonstrations, once free
and once under the example's schema, in turn in one process. Every constrained row is decoded under
the grammar: what a decision saves by reading constrained answers off free ones is not in here.
Prints one JSON object as its last line; `ratio` is free over constrained seconds per token, so 1
means that the constraint costs nothing. Reach: at least 1 / 1.15 = 0.87.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence

import yaml
from _pairs import Figures, summary
from evaluate import REPOSITORY, requests

from trimtab.engine.base import Engine
from trimtab.engine.local import from_spec
from trimtab.task.spec import ModelSpec
from trimtab.types import Completion, OutputContract, Request


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    prepare = [sys.executable, str(REPOSITORY / "examples/prepare.py"), "addresses"]
    subprocess.run(prepare, check=True, stdout=subprocess.DEVNULL)
    task = yaml.safe_load((REPOSITORY / "examples/addresses/task.yaml").read_text("utf-8"))
    contract = OutputContract.model_validate(task["output"])
    engine = from_spec(ModelSpec(), lambda line: print(line, file=sys.stderr))
    free = requests(options.rows)
    constrained = [
        each.model_copy(
            update={"decoding": each.decoding.model_copy(update={"contract": contract})}
        )
        for each in free
    ]
    runs: dict[str, list[Figures]] = {"free": [], "constrained": []}
    for asked in (free, constrained):
        seconds_per_token(engine, asked[:2])
    for _ in range(options.rounds):
        for name, asked in (("free", free), ("constrained", constrained)):
            runs[name].append({"ms_per_token": 1000 * seconds_per_token(engine, asked)})
    figures = {name: summary(found, "ms_per_token") for name, found in runs.items()}
    print(
        json.dumps(
            {
                "benchmark": "constrained",
                "rows": options.rows,
                "rounds": options.rounds,
                "ms_per_token": figures,
                "ratio": round(figures["free"]["median"] / figures["constrained"]["median"], 3),
            }
        )
    )


def seconds_per_token(engine: Engine, asked: Sequence[Request]) -> float:
    started = time.perf_counter()
    answers = [each for _, each in engine.generate(asked)]
    seconds = time.perf_counter() - started
    return seconds / sum(each.tokens_out for each in answers if isinstance(each, Completion))


if __name__ == "__main__":
    main()
