"""The peer of `decide.py`: transformers and TRL, one step after the other, in TRL's environment.

    python decide_straight.py WORK_FOLDER BATCH

Reads WORK_FOLDER/job.json and prints one JSON line: the seconds of the whole and of its parts.
"""

from __future__ import annotations

import json
import sys
import time

STARTED = time.perf_counter()

from pathlib import Path  # noqa: E402 - the clock runs from before the imports, as for the other
from typing import Any  # noqa: E402

import torch  # noqa: E402
from datasets import Dataset  # noqa: E402
from peft import LoraConfig, PeftModel, get_peft_model  # noqa: E402
from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: E402
from trl import SFTConfig, SFTTrainer  # noqa: E402


def main(folder: Path, batch: int) -> None:
    job = json.loads((folder / "job.json").read_text("utf-8"))
    tokenizer = AutoTokenizer.from_pretrained(job["model"], padding_side="left")
    seconds = {"load": time.perf_counter() - STARTED, "train": 0.0, "generate": 0.0}
    adapters: dict[tuple[int, float], Path] = {}
    for training in job["trainings"]:
        started = time.perf_counter()
        rows, rate, start = training["rows"], training["rate"], training["start"]
        out = folder / f"straight-{rows}-{rate:g}"
        train(job, training, adapters[tuple(start)] if start else None, out, tokenizer)
        adapters[rows, rate] = out
        seconds["train"] += time.perf_counter() - started
    base: Any = AutoModelForCausalLM.from_pretrained(job["model"], dtype=torch.float32)
    base.eval()
    for step in job["steps"]:
        started = time.perf_counter()
        model = base
        if step["adapter"]:
            model = PeftModel.from_pretrained(base, adapters[tuple(step["adapter"])])
        answer(model, tokenizer, step, 1 if step["alone"] else batch)
        if step["adapter"]:
            base = model.unload()
        seconds["generate"] += time.perf_counter() - started
    print(json.dumps({**seconds, "seconds": time.perf_counter() - STARTED}))


def train(
    job: dict[str, Any], training: dict[str, Any], start: Path | None, out: Path, tokenizer: Any
) -> None:
    model = AutoModelForCausalLM.from_pretrained(job["model"], dtype=torch.float32)
    if start is not None:
        adapted = PeftModel.from_pretrained(model, start, is_trainable=True)
    else:
        lora = LoraConfig(
            r=job["rank"],
            lora_alpha=2 * job["rank"],
            target_modules="all-linear",
            task_type="CAUSAL_LM",
        )
        adapted = get_peft_model(model, lora)
    config = SFTConfig(
        output_dir=f"{out}-trainer",
        per_device_train_batch_size=job["batch"],
        num_train_epochs=training["epochs"],
        learning_rate=training["rate"],
        train_sampling_strategy="group_by_length",
        completion_only_loss=True,
        gradient_checkpointing=False,
        bf16=False,
        use_cpu=True,
        dataloader_pin_memory=False,
        max_length=None,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )
    data = Dataset.from_list(
        [
            {"input_ids": p + a, "completion_mask": [0] * len(p) + [1] * len(a)}
            for p, a in job["rows"][: training["rows"]]
        ]
    )
    trainer = SFTTrainer(model=adapted, args=config, train_dataset=data, processing_class=tokenizer)
    trainer.train()
    trainer.model.save_pretrained(out)


def answer(model: Any, tokenizer: Any, step: dict[str, Any], batch: int) -> None:
    texts = [
        tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        for messages in step["asked"]
    ]
    texts.sort(key=len)
    warm = step["temperature"] > 0
    sampling = {"do_sample": True, "temperature": step["temperature"]} if warm else {}
    with torch.inference_mode():
        for start in range(0, len(texts), batch):
            encoded = tokenizer(
                texts[start : start + batch],
                return_tensors="pt",
                padding=True,
                add_special_tokens=False,
            )
            model.generate(
                **encoded,
                max_new_tokens=step["max_tokens"],
                **({"do_sample": False} | sampling),
            )


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
