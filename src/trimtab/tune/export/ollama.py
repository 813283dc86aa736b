"""A Modelfile for Ollama beside a GGUF file."""

from __future__ import annotations

from trimtab.engine.local.template import ChatTemplate
from trimtab.errors import ModelError
from trimtab.tune.export.gguf import GGUF
from trimtab.types import Message, Prompt, Variant

MODELFILE = "Modelfile"
_QUOTES = '"""'
_HELD = (
    "# This fine-tune was measured with answers held to the task's output, which a Modelfile\n"
    '# cannot do. Send the JSON schema of the output as "format" with each call; without it,\n'
    "# answers may break the contract more often than was measured.\n"
)
_TEMPLATE = (
    "{{- range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n{{ end }}"
    "<|im_start|>assistant\n"
)


def modelfile(template: ChatTemplate, variant: Variant) -> str:
    """The Modelfile: template, system text and greedy decoding, as they were measured.

    Ollama's templates are Go's and the model's is Jinja's, so only ChatML, the most common one, is
    written. A Modelfile cannot hold answers to a form: where they were measured so, it says what
    the calls must send.
    Raises `ModelError` for a model with another template, and for a prompt of the user's own.
    """
    system = variant.prompt.system
    if not _is_chatml(template):
        raise ModelError(
            "the model's chat template is not ChatML, and other templates are not written for "
            "Ollama; export it with --to gguf and write the Modelfile by hand"
        )
    if variant.prompt != Prompt(system=system):
        raise ModelError(
            "the fine-tune is asked with more than instructions and the input, and a Modelfile "
            "holds instructions alone; export it with --to gguf and send its prompt yourself "
            "(`trimtab prompt` prints it)"
        )
    if _QUOTES in system:
        raise ModelError(f"the instructions hold {_QUOTES}, which a Modelfile cannot quote")
    return (
        f"{_HELD if variant.constrained else ''}"
        f"FROM ./{GGUF}\n"
        f"TEMPLATE {_QUOTES}{_TEMPLATE}{_QUOTES}\n"
        f"SYSTEM {_QUOTES}{system}{_QUOTES}\n"
        'PARAMETER stop "<|im_end|>"\n'
        f"PARAMETER temperature {variant.temperature:g}\n"
        f"PARAMETER num_predict {variant.max_tokens}\n"
    )


def _is_chatml(template: ChatTemplate) -> bool:
    """Whether the model's own template gives the tokens that ChatML gives."""
    asked = (Message(role="system", content="one"), Message(role="user", content="two"))
    wanted = "<|im_start|>system\none<|im_end|>\n<|im_start|>user\ntwo<|im_end|>\n"
    return template.rendered(asked) == f"{wanted}<|im_start|>assistant\n"
