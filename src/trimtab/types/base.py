"""What all nouns are, and the words that several of them use."""

from __future__ import annotations

import hashlib
from typing import Literal

from pydantic import BaseModel, ConfigDict

Arm = Literal["prompt", "fine-tune"]
SplitName = Literal["train", "dev", "test"]
Word = Literal["prompt", "fine-tune", "collect-data", "inconclusive"]
Status = Literal["pass", "fail", "unknown"]

ADAPTER_FILE = "adapter_model.safetensors"
"""peft's name for the weights in an adapter folder."""

HOSTED_FILE = "hosted.json"
"""What an adapter folder holds in their place where an endpoint trained the model and keeps it."""

FAILURE_CAP = 0.05
"""Share of failed calls above which a variant's figures decide nothing."""


class Noun(BaseModel):
    """A frozen value that refuses unknown fields. Docstrings of fields go into its JSON Schema."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", populate_by_name=True, use_attribute_docstrings=True
    )


def content_hash(*parts: str, length: int = 16) -> str:
    """First `length` hex digits of the SHA-256 over `parts`, each closed by a NUL byte."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.encode() + b"\0")
    return digest.hexdigest()[:length]
