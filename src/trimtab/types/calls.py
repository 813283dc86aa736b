"""Data, calls of a model, and what a variant is made of."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, JsonValue

from trimtab.types.base import Arm, Noun, content_hash


class Example(Noun):
    """One labelled row. `id` hashes input and target, so it survives reordering of the file."""

    id: str
    input: str
    target: str
    group: str | None = None
    time: datetime | None = None
    approved_by: str | None = None
    source: str = ""
    """Where it came from, as `file:line`."""


class OutputContract(Noun):
    """What an answer must look like: one of a label set, JSON of a schema, or free text."""

    kind: Literal["label", "json", "text"]
    labels: tuple[str, ...] = ()
    json_schema: dict[str, JsonValue] = Field(default_factory=dict, alias="schema")


class Message(Noun):
    role: Literal["system", "user", "assistant"]
    content: str


class Decoding(Noun):
    """How to decode. `contract` set means: constrained to it, token by token or by the endpoint."""

    max_tokens: int
    temperature: float = 0.0
    seed: int = 0
    contract: OutputContract | None = None


class Request(Noun):
    """One call: what the model sees and how it decodes. `adapter` is an adapter folder."""

    messages: tuple[Message, ...]
    decoding: Decoding
    adapter: str | None = None
    shared_messages: int = 0
    """How many leading messages are the same in every call of the variant, so that an engine may
    compute them once."""


class Completion(Noun):
    """One answer. Token counts are the engine's own; `latency_s` only where this call was timed."""

    text: str
    finish: Literal["stop", "length"]
    tokens_in: int
    tokens_cached: int = 0
    """How many of `tokens_in` came from a computed prefix shared with other calls."""
    tokens_out: int
    latency_s: float | None = None
    attempts: int = 1
    """Calls that were made for it: one for each round, one more for each that was tried again."""
    rounds: int = 1
    """Answers that it took. Tokens, seconds and attempts are sums over them, `text` is the last."""


class Failed(Noun):
    """A call that gave no judgeable answer, blamed on exactly one boundary. Never a zero score."""

    status: Literal["failed"] = "failed"
    boundary: Literal[
        "connection", "timeout", "rate-limit", "server", "response", "context", "scorer"
    ]
    message: str
    attempts: int = 1
    """As of `Completion`."""


class Scored(Noun):
    """A judged answer. An answer that breaks the contract is scored (as wrong), not failed."""

    status: Literal["scored"] = "scored"
    metrics: dict[str, float]
    valid: bool
    parsed: JsonValue = None
    problem: str | None = None
    """Why the answer is invalid, for a person."""


Outcome = Annotated[Scored | Failed, Field(discriminator="status")]


class Prompt(Noun):
    """The text side of a variant: instructions, then fixed and/or retrieved demonstrations."""

    system: str
    demonstrations: tuple[Example, ...] = ()
    nearest: int = 0
    """How many training rows nearest to the input are shown as demonstrations."""
    nearest_first: bool = False
    """Whether the most similar comes first; by default it comes last, next to the input."""
    style: str = "plain"
    """How instructions, demonstrations and input are laid out: a name of `prompt.styles.STYLES`."""
    template: tuple[Message, ...] = ()
    """A prompt of the user's own: messages whose contents are Jinja templates with `input`. Where
    there are any, they are the whole prompt, and `system` is empty."""


class Adapter(Noun):
    """A trained LoRA adapter in a run: its folder, its weights' hash, and how it was made.

    Of a fine-tune that an endpoint trained, the folder holds a `HostedModel`, and that is hashed.
    """

    path: str
    sha256: str
    rows: int
    epoch: int
    learning_rate: float | None
    """None where an endpoint chose it."""
    seed: int
    made: Literal["size", "searched", "remedy"] = "size"
    """As a size of the learning curve, as such a size under the instructions that the prompt search
    found, or to keep what the fine-tune lost elsewhere."""


class HostedModel(Noun):
    """`hosted.json`: a fine-tune that an endpoint trained, keeps and serves."""

    model: str
    """The name under which the endpoint serves it."""
    base: str
    job: str
    """Id of the fine-tuning job."""
    step: int | None = None
    """Of the optimiser, for a checkpoint on the way; None for the job's final model."""
    trained_tokens: int | None
    """Of the whole job, as the endpoint told them."""
    money: float | None
    """What the job cost at `prices.training`."""
    training_sha256: str
    """Of the file that it was trained on."""


class HostedJob(Noun):
    """A fine-tuning job at an endpoint, as it was last heard of."""

    rows: int
    estimated_tokens: int
    """Training tokens of all epochs, by the engine's own estimate."""
    status: Literal["not made", "asked for", "running", "succeeded", "failed", "cancelled"] = (
        "not made"
    )
    job: str | None = None
    asked_at: float | None = None
    """When it was asked for, in seconds since 1970."""
    seconds: float | None = None
    """From its creation to its end."""
    trained_tokens: int | None = None
    problem: str | None = None
    """Why it gave no model."""

    @property
    def tokens(self) -> int:
        """What it is charged for. A job that succeeded and does not say was as large as estimated;
        any other that does not say cost nothing."""
        if self.trained_tokens is not None:
            return self.trained_tokens
        return self.estimated_tokens if self.status == "succeeded" else 0


class Variant(Noun):
    """Anything that answers the task. Both arms end here; nothing after branches on the kind."""

    name: str
    arm: Arm
    model: str
    prompt: Prompt
    max_tokens: int
    constrained: bool = False
    temperature: float = 0.0
    adapter: Adapter | None = None
    reason: bool = False
    """Think first: free text in a first call, the answer in a second one that sees it."""
    retries: int = 0
    """How often an answer that breaks the contract is shown to the model to be put right."""

    @property
    def id(self) -> str:
        """Content hash: the same settings are the same variant, whatever they are called."""
        adapter = self.adapter.sha256 if self.adapter else ""
        # Where a demonstration stood in a file does not matter. What no variant of the first
        # version had counts only where it is used, so that ids in finished runs stay true.
        settings = self.model_dump_json(
            exclude={
                "name": True,
                "arm": True,
                "adapter": True,
                "prompt": {
                    "demonstrations": {"__all__": {"source"}},
                    **_at_default(self.prompt, "nearest_first", "style", "template"),
                },
                **_at_default(self, "reason", "retries"),
            }
        )
        return content_hash(settings, adapter, length=12)


def _at_default(noun: Noun, *names: str) -> dict[str, bool]:
    """Those of the named fields that have their default, for leaving them out."""
    fields = type(noun).model_fields
    return {name: True for name in names if getattr(noun, name) == fields[name].default}


class Record(Noun):
    """One variant x one example x one repeat."""

    variant: str
    example: str
    repeat: int = 0
    completion: Completion | None
    outcome: Outcome
    reused: bool = False
    """Served from the request cache of an earlier run: its timing is not a measurement."""
