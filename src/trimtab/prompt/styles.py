"""Ways to lay out one prompt that all mean the same: a model should not care, and often does.

Each is data; `render.lay_out` makes messages of it, for measuring, for training and for serving.
"""

from __future__ import annotations

from dataclasses import dataclass

from trimtab.types import Variant


@dataclass(frozen=True)
class Style:
    """What stands around the texts of a prompt. The texts themselves are never changed."""

    description: str
    before: str = ""
    """Stands before each input."""
    after: str = ""
    """Stands after each input."""
    turns: bool = True
    """Each demonstration is a question and an answer of the conversation; else all stand in the
    one question, in lines."""
    gap: str = " "
    """In lines: between what stands after an input and its answer."""
    rule: str = "\n\n"
    """In lines: after each demonstration."""
    system: bool = True
    """The instructions are a system message; else they open the first question."""

    def question(self, text: str) -> str:
        return f"{self.before}{text}{self.after}"

    def lines(self, text: str, answer: str) -> str:
        """A demonstration in lines."""
        return f"{self.question(text)}{self.gap}{answer}{self.rule}"


STYLES: dict[str, Style] = {
    "plain": Style("the input alone; demonstrations as turns of a conversation"),
    "labelled": Style("turns, with the words Input and Output", "Input: ", "\nOutput:"),
    "capitals": Style("turns, with the words in capitals", "INPUT: ", "\nOUTPUT:"),
    "question": Style("turns, with Q and A", "Q: ", "\nA:"),
    "spaced": Style("turns, the words on lines of their own", "Input:\n\n", "\n\nOutput:"),
    "tagged": Style("turns, the input between tags", "<input>\n", "\n</input>"),
    "lines": Style("all demonstrations in one message", "Input: ", "\nOutput:", turns=False),
    "headed": Style(
        "one message, with headings and rules",
        "### Input\n",
        "\n### Output",
        turns=False,
        gap="\n",
        rule="\n\n---\n\n",
    ),
    "bulleted": Style("one message, as a list", "- Input: ", "\n  Output:", turns=False, rule="\n"),
    "merged": Style("turns without a system message: the first one opens with it", system=False),
}
"""By name; the first is the default."""


def styles_of(variant: Variant) -> tuple[str, ...]:
    """The styles that the variant can take. A prompt of the user's own is kept as written."""
    return ("plain",) if variant.prompt.template else tuple(STYLES)


def styled(variant: Variant, name: str) -> Variant:
    """The same variant laid out in the style of this name.

    Raises:
        ValueError: there is no such style, or the variant cannot take it.
    """
    if name not in styles_of(variant):
        raise ValueError(f"no style {name!r} here; the styles are: {', '.join(styles_of(variant))}")
    prompt = variant.prompt.model_copy(update={"style": name})
    shown = variant.name.removesuffix(f", {variant.prompt.style} style")
    name = shown if name == "plain" else f"{shown}, {name} style"
    return variant.model_copy(update={"name": name, "prompt": prompt})
