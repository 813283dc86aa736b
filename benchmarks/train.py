"""LoRA training against TRL's `SFTTrainer`: tokens a second, peak memory, and what was learnt.

    python benchmarks/train.py [--rounds 3] [--rows 400] [--batch 4] [--rank 16]

One epoch over rows of the addresses example on the default model; the same rows in the same
batches, the same initial adapter, schedule and clipping. The two run in turn, each time in a new
process. Both count the same tokens, without padding; the peak is of the whole process. The peer's
environment is made on first use (some minutes); its versions are pinned below. Prints one JSON
object as its last line. `ratio` is ours over the peer's; reach: at least 3 in tokens per second, at
most 0.6 in memory, with dev losses within 1 %.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from _pairs import in_turn, peer_python, summary

from trimtab.engine.default_model import default_model_folder

REPOSITORY = Path(__file__).resolve().parent.parent
TRL = "trl==1.16.0"
SHARED = ("torch", "transformers", "peft")
"""Both sides use the same versions of these."""
INSTRUCTIONS = "Split the US address into its parts."
RATE = 1e-3
SEED = 0
DEV_ROWS = 48


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=400)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        train_ours(options.child)
        return
    if options.rows % options.batch:
        parser.error("--rows must be a multiple of --batch: the peer's batches are all full")
    versions = [f"{name}=={importlib.metadata.version(name)}" for name in SHARED]
    python = peer_python("trl", [*(version.split("+")[0] for version in versions), TRL])
    prepare = [sys.executable, str(REPOSITORY / "examples/prepare.py"), "addresses"]
    subprocess.run(prepare, check=True, stdout=subprocess.DEVNULL)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_data(folder, options)
        commands = {
            "trimtab": [sys.executable, __file__, "--child", str(folder)],
            "trl": [python, str(REPOSITORY / "benchmarks/train_trl.py"), str(folder)],
        }
        runs = in_turn(commands, options.rounds)
        losses = {name: dev_loss(folder, name) for name in commands}
    figures = {
        side: {
            "tokens_per_s": summary(runs[side], "tokens_per_s"),
            "peak_mb": {k: v / 1e6 for k, v in summary(runs[side], "peak_bytes").items()},
            "dev_loss": losses[side],
        }
        for side in commands
    }

    def ratio(name: str) -> float:
        ours, peer = (summary(runs[side], name)["median"] for side in commands)
        return round(ours / peer, 3)

    print(
        json.dumps(
            {
                "benchmark": "train",
                "rows": options.rows,
                "batch": options.batch,
                "rank": options.rank,
                "rounds": options.rounds,
                "versions": [*versions, TRL],
                **figures,
                "ratio": ratio("tokens_per_s"),
                "memory_ratio": ratio("peak_bytes"),
                "dev_loss_ratio": round(losses["trimtab"] / losses["trl"], 4),
            }
        )
    )


def write_data(folder: Path, options: argparse.Namespace) -> None:
    """Tokenise once; the training rows stand in the order in which Trimtab trains them."""
    from transformers import AutoTokenizer

    from trimtab.engine.local.template import ChatTemplate
    from trimtab.tune.lora import schedule
    from trimtab.tune.rows import batches, encode
    from trimtab.types import Example, Prompt

    model = default_model_folder(print)
    lines = (REPOSITORY / "examples/addresses/rows.jsonl").read_text("utf-8").splitlines()
    picked = random.Random(SEED).sample(lines, options.rows + DEV_ROWS)  # noqa: S311
    examples = []
    for line in picked:
        row = json.loads(line)
        target = json.dumps(row["output"], ensure_ascii=False, separators=(",", ":"))
        examples.append(Example(id=line, input=row["input"], target=target))
    template = ChatTemplate(AutoTokenizer.from_pretrained(model))
    encoded = encode(template, Prompt(system=INSTRUCTIONS), examples)
    rows, dev = encoded[: options.rows], encoded[options.rows :]
    in_order = batches(rows, options.batch, SEED, 1)
    steps = len(in_order)
    data = {
        "model": str(model),
        "batch": options.batch,
        "rank": options.rank,
        "rate": RATE,
        "schedule": [schedule(step, steps) for step in range(steps)],
        "seed": SEED,
        "given": [(row.prompt, row.answer) for row in rows],
        "rows": [(row.prompt, row.answer) for batch in in_order for row in batch],
        "dev": [(row.prompt, row.answer) for row in dev],
    }
    (folder / "data.json").write_text(json.dumps(data), "utf-8")


def train_ours(folder: Path) -> None:
    """One run of Trimtab in this process."""
    from trimtab.engine.local import from_spec
    from trimtab.task.spec import ModelSpec
    from trimtab.tune.lora import TrainSettings, train
    from trimtab.tune.memory import peak_memory
    from trimtab.tune.rows import TrainingRow

    data = json.loads((folder / "data.json").read_text("utf-8"))
    engine = from_spec(ModelSpec(model=data["model"]), lambda line: None)
    rows = [TrainingRow(*row) for row in data["given"]]
    settings = TrainSettings(
        learning_rate=data["rate"],
        epochs=1,
        rank=data["rank"],
        batch_size=data["batch"],
        seed=data["seed"],
    )
    ended = []
    device = engine.loaded.device
    loaded = peak_memory(device)  # training begins a measurement of its own
    with tempfile.TemporaryDirectory() as fresh:
        started = time.perf_counter()
        (epoch,) = train(
            engine,
            rows,
            [TrainingRow(*row) for row in data["dev"]],
            settings,
            Path(fresh) / "training",
            lambda tokens: ended.append(time.perf_counter()),
        )
        (folder / "trimtab").mkdir(exist_ok=True)
        for name in ("adapter_config.json", "adapter_model.safetensors"):
            (folder / "trimtab" / name).write_bytes((epoch.adapter / name).read_bytes())
    figures = {
        "tokens_per_s": epoch.tokens / (ended[-1] - started),
        "peak_bytes": max(loaded, peak_memory(device)),
    }
    print(json.dumps(figures))


def dev_loss(folder: Path, side: str) -> float:
    """Nats per answer token of a side's last adapter: one measure for both."""
    from trimtab.engine.local import from_spec
    from trimtab.task.spec import ModelSpec
    from trimtab.tune.loss import mean_loss
    from trimtab.tune.rows import TrainingRow

    data = json.loads((folder / "data.json").read_text("utf-8"))
    engine = from_spec(ModelSpec(model=data["model"]), lambda line: None)
    engine.adapters.use(str(folder / side))
    return mean_loss(engine.loaded.model, [TrainingRow(*row) for row in data["dev"]])


if __name__ == "__main__":
    main()
