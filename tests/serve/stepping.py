"""An engine that writes its answers a word a step, as far as it is let."""

from __future__ import annotations

import threading
from collections.abc import Callable

from trimtab.engine.base import Event
from trimtab.engine.fake import FakeEngine
from trimtab.types import Completion, Request

ANSWER = "Größe zählt 🙂 und\n\nsonst nichts"


class WordByWord(FakeEngine):
    """`free` lets it write on; before that, `let` does so word by word."""

    chunk_size = 4

    def __init__(self, text: str = ANSWER, fail: Callable | None = None) -> None:
        super().__init__(lambda messages, decoding: text, fail=fail, model_id="fake:m")
        self.free = threading.Event()
        self._allowed = threading.Semaphore(0)
        self.under_way: dict[int, tuple[Request, list[str], bool]] = {}
        self.begun: list[str] = []
        self.left: list[int] = []
        self.breaks_after: int | None = None
        """Words after which the next step raises for every call."""

    def make(self, spec, progress) -> WordByWord:
        return self

    def let(self, words: int) -> None:
        self._allowed.release(words)

    def stepper(self) -> WordByWord:
        return self

    def begin(
        self, key: int, request: Request, *, stream: bool = False, background: bool = False
    ) -> None:
        if request.messages[-1].content == "raise":
            raise ZeroDivisionError
        self.begun.append(request.messages[-1].content)
        self.under_way[key] = (request, [], stream)

    def leave(self, key: int) -> None:
        if self.under_way.pop(key, None) is not None:
            self.left.append(key)

    def step(self) -> list[tuple[int, Event]]:
        if not self.free.is_set() and not self._allowed.acquire(timeout=0.01):
            return []
        events: list[tuple[int, Event]] = []
        for key, (request, written, stream) in list(self.under_way.items()):
            answer = self._call(request)
            if not isinstance(answer, Completion):
                events.append((key, answer))
            elif len(written) == self.breaks_after:
                events.append((key, ZeroDivisionError("in the middle")))
            else:
                words = answer.text.split(" ")
                word = words[len(written)] + " " * (len(written) + 1 < len(words))
                written.append(word)
                if stream:
                    events.append((key, word))
                if len(written) < len(words):
                    continue
                events.append((key, answer))
            del self.under_way[key]
        return events
