"""The peer of `train.py`: one epoch with TRL's `SFTTrainer`. It runs in TRL's own environment.

    python train_trl.py WORK_FOLDER

Reads WORK_FOLDER/data.json (token ids in training order), writes the adapter to
WORK_FOLDER/trl, prints one JSON line. The settings are TRL's fastest on a CPU without fast
bfloat16: no gradient checkpointing, no autocast, like lengths side by side, loss of completions.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path

import torch
from datasets import Dataset
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer


def main(folder: Path) -> None:
    data = json.loads((folder / "data.json").read_text("utf-8"))
    rows = data["rows"]
    model = AutoModelForCausalLM.from_pretrained(data["model"], dtype=torch.float32)
    torch.manual_seed(data["seed"])
    lora = LoraConfig(
        r=data["rank"],
        lora_alpha=2 * data["rank"],
        target_modules="all-linear",
        lora_dropout=0.0,
        task_type="CAUSAL_LM",
    )
    config = SFTConfig(
        output_dir=str(folder / "trl-trainer"),
        per_device_train_batch_size=data["batch"],
        num_train_epochs=1,
        max_grad_norm=1.0,
        train_sampling_strategy="sequential",  # rows of like length already share a batch
        completion_only_loss=True,
        gradient_checkpointing=False,
        bf16=False,
        use_cpu=True,
        dataloader_pin_memory=False,
        max_length=None,
        logging_steps=10_000,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        seed=data["seed"],
    )
    adapted = get_peft_model(model, lora)
    parameters = [p for p in adapted.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(parameters, lr=data["rate"], weight_decay=0.0, fused=True)
    shares = [*data["schedule"], 0.0]  # the scheduler looks one step ahead
    trainer = SFTTrainer(
        model=adapted,
        args=config,
        train_dataset=Dataset.from_list(
            [
                {
                    "input_ids": prompt + answer,
                    "completion_mask": [0] * len(prompt) + [1] * len(answer),
                }
                for prompt, answer in rows
            ]
        ),
        optimizers=(optimiser, torch.optim.lr_scheduler.LambdaLR(optimiser, shares.__getitem__)),
        processing_class=AutoTokenizer.from_pretrained(data["model"]),
    )
    started = time.perf_counter()
    trainer.train()
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    trainer.model.save_pretrained(folder / "trl")
    tokens = sum(len(prompt) + len(answer) for prompt, answer in rows)
    print(json.dumps({"tokens_per_s": tokens / seconds, "peak_bytes": peak}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
