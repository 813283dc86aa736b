"""Evaluating a prompt: Trimtab's local engine against transformers' `generate` and llama.cpp.

    python benchmarks/evaluate.py [--rows 200] [--rounds 3] [--generate-rows N] [--llamacpp-rows N]

Greedy answers to rows of the addresses example behind 8 fixed demonstrations, on the default model.
Each side runs in turn, each time in a new process, and times the answering alone, without loading:

- `generate` of transformers, in float32, in batches sorted by length (`--batch`);
- the llama.cpp server of the wheel xllamacpp on the same weights as they are quantised, with 2
  threads, 2 slots and its own prefix cache, asked by 2 callers at a time.

A peer may get fewer rows, since its rate does not depend on their number. Prints one JSON object as
its last line: rows per second with their spread, `ratio` by peer, and the share of rows on which
each peer gives the same text. Reach: 3 and 1.5, with 99 % the same answers as `generate`.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from _pairs import in_turn, summary

from trimtab.engine.base import Engine
from trimtab.engine.default_model import default_model_folder, extract_gguf
from trimtab.types import Completion, Decoding, Message, Request

REPOSITORY = Path(__file__).resolve().parent.parent
DEMONSTRATIONS = 8
MAX_TOKENS = 120
SEED = 0
THREADS = SLOTS = 2
CONTEXT = 2048


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--generate-rows", type=int)
    parser.add_argument("--llamacpp-rows", type=int)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--side", choices=list(SIDES), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        run_side(options)
        return
    prepare = [sys.executable, str(REPOSITORY / "examples/prepare.py"), "addresses"]
    subprocess.run(prepare, check=True, stdout=subprocess.DEVNULL)
    default_model_folder(print)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        extract_gguf(folder, print)
        rows = {
            "trimtab": options.rows,
            "generate": options.generate_rows or options.rows,
            "llamacpp": options.llamacpp_rows or options.rows,
        }
        commands = {
            side: [
                *(sys.executable, __file__, "--side", side, "--folder", temporary),
                *("--rows", str(rows[side]), "--batch", str(options.batch)),
            ]
            for side in SIDES
        }
        runs = in_turn(commands, options.rounds)
        texts = {side: json.loads((folder / f"{side}.json").read_text("utf-8")) for side in SIDES}
    figures = {side: summary(runs[side], "rows_per_s") for side in SIDES}
    peers = [side for side in SIDES if side != "trimtab"]
    print(
        json.dumps(
            {
                "benchmark": "evaluate",
                "rows": rows,
                "rounds": options.rounds,
                "batch_of_generate": options.batch,
                "rows_per_s": figures,
                "same_answers": {side: same(texts["trimtab"], texts[side]) for side in peers},
                "ratio": {
                    side: round(figures["trimtab"]["median"] / figures[side]["median"], 3)
                    for side in peers
                },
            }
        )
    )


def same(ours: Sequence[str], theirs: Sequence[str]) -> float:
    """Share of equal texts among the rows that both answered."""
    return sum(a == b for a, b in zip(ours, theirs, strict=False)) / min(len(ours), len(theirs))


def requests(rows: int) -> list[Request]:
    """The same for all sides; fewer rows are the first of more."""
    lines = (REPOSITORY / "examples/addresses/rows.jsonl").read_text("utf-8").splitlines()
    random.Random(SEED).shuffle(lines)  # noqa: S311 - reproducible, not secret
    data = [json.loads(line) for line in lines]
    head = [Message(role="system", content="Split the US address into its parts, as JSON.")]
    for row in data[:DEMONSTRATIONS]:
        answer = json.dumps(row["output"], ensure_ascii=False, separators=(",", ":"))
        head.append(Message(role="user", content=row["input"]))
        head.append(Message(role="assistant", content=answer))
    return [
        Request(
            messages=(*head, Message(role="user", content=row["input"])),
            decoding=Decoding(max_tokens=MAX_TOKENS),
            shared_messages=len(head),
        )
        for row in data[DEMONSTRATIONS : DEMONSTRATIONS + rows]
    ]


def run_side(options: argparse.Namespace) -> None:
    asked = requests(options.rows)
    texts, seconds = SIDES[options.side](asked, options)
    (options.folder / f"{options.side}.json").write_text(json.dumps(texts), "utf-8")
    print(json.dumps({"rows_per_s": len(asked) / seconds}))


def answer_ours(asked: Sequence[Request], _: argparse.Namespace) -> tuple[list[str], float]:
    from trimtab.engine.local import from_spec
    from trimtab.task.spec import ModelSpec

    engine = from_spec(ModelSpec(), lambda line: None)
    return timed(engine, asked)


def answer_with_llamacpp(
    asked: Sequence[Request], options: argparse.Namespace
) -> tuple[list[str], float]:
    import xllamacpp

    from trimtab.engine.openai import from_spec
    from trimtab.task.spec import ModelSpec

    params = xllamacpp.CommonParams()
    (gguf,) = options.folder.rglob("*.gguf")
    params.model.path = str(gguf)
    params.port = 0
    params.n_parallel = SLOTS
    params.n_ctx = SLOTS * CONTEXT
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = THREADS
    params.verbosity = 0
    server = xllamacpp.Server(params)
    url = f"{server.listening_address}/v1"
    spec = ModelSpec(engine="openai", model="default", base_url=url, concurrency=SLOTS)
    return timed(from_spec(spec, lambda line: None), asked)


def timed(engine: Engine, asked: Sequence[Request]) -> tuple[list[str], float]:
    """Texts and seconds of an engine; one call first pays for the start and the prefix."""
    list(engine.generate(asked[:1]))
    started = time.perf_counter()
    found = []
    for start in range(0, len(asked), engine.chunk_size):
        part = dict(engine.generate(asked[start : start + engine.chunk_size]))
        found += [part[position] for position in range(len(part))]
    seconds = time.perf_counter() - started
    texts = [each.text for each in found if isinstance(each, Completion)]
    if len(texts) < len(found):
        first = next(each for each in found if not isinstance(each, Completion))
        raise SystemExit(f"{len(found) - len(texts)} calls failed, the first with: {first}")
    return texts, seconds


def answer_with_generate(
    asked: Sequence[Request], options: argparse.Namespace
) -> tuple[list[str], float]:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    source = default_model_folder(lambda line: None)
    tokenizer = AutoTokenizer.from_pretrained(source, padding_side="left")
    model: Any = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32)
    model.eval()
    rendered = [
        tokenizer.apply_chat_template(
            [message.model_dump() for message in request.messages],
            tokenize=False,
            add_generation_prompt=True,
        )
        for request in asked
    ]
    order = sorted(range(len(asked)), key=lambda i: len(rendered[i]))
    texts = [""] * len(asked)

    def answer(positions: Sequence[int], tokens: int) -> None:
        batch = tokenizer(
            [rendered[i] for i in positions],
            return_tensors="pt",
            padding=True,
            add_special_tokens=False,
        )
        out = model.generate(**batch, do_sample=False, max_new_tokens=tokens)
        written = tokenizer.batch_decode(
            out[:, batch["input_ids"].shape[1] :], skip_special_tokens=True
        )
        for position, text in zip(positions, written, strict=True):
            texts[position] = text

    with torch.inference_mode():
        answer(order[:1], 2)
        started = time.perf_counter()
        for start in range(0, len(order), options.batch):
            answer(order[start : start + options.batch], MAX_TOKENS)
    return texts, time.perf_counter() - started


SIDES = {
    "trimtab": answer_ours,
    "generate": answer_with_generate,
    "llamacpp": answer_with_llamacpp,
}

if __name__ == "__main__":
    main()
