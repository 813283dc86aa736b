"""Callers of a served task: the official `openai` client, and what it was told."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count

import httpx
import openai

AT_A_TIME = 6


@dataclass(frozen=True)
class Told:
    """An answer whose trace is on the disk."""

    trace: str
    input: str
    answer: str
    variant: str
    role: str


class Callers:
    """Calls one server, and keeps all that was acknowledged. A call that fails raises: nothing is
    tried again."""

    def __init__(self, base: str, key: str) -> None:
        self.base = base
        self.key = key
        self.told: list[Told] = []
        self._client = openai.OpenAI(base_url=f"{base}/v1", api_key=key, max_retries=0, timeout=120)

    def ask(self, text: str, user: str | None = None) -> Told:
        raw = self._client.chat.completions.with_raw_response.create(
            model="names",
            messages=[{"role": "user", "content": text}],
            user=openai.omit if user is None else user,
        )
        told = Told(
            trace=raw.headers["x-trimtab-trace"],
            input=text,
            answer=raw.parse().choices[0].message.content or "",
            variant=raw.headers["x-trimtab-variant"],
            role=raw.headers["x-trimtab-role"],
        )
        self.told.append(told)
        return told

    def ask_all(self, texts: Sequence[str]) -> list[Told]:
        """Several at a time; the answers in the order of `texts`."""
        with ThreadPoolExecutor(AT_A_TIME) as pool:
            return list(pool.map(self.ask, texts))

    @contextmanager
    def calling(self, texts: Sequence[str]) -> Iterator[list[Told]]:
        """Calls without a pause while the block runs. Yields what was told since it began."""
        begun, done = len(self.told), threading.Event()
        numbers = count()

        def call_on() -> None:
            while not done.is_set():
                self.ask(texts[next(numbers) % len(texts)])

        with ThreadPoolExecutor(AT_A_TIME) as pool:
            under_way = [pool.submit(call_on) for _ in range(AT_A_TIME)]
            try:
                since: list[Told] = []
                yield since
            finally:
                done.set()
        for each in under_way:
            each.result()  # raises what a call raised
        since += self.told[begun:]

    def feedback(self, told: Told, correction: str) -> int:
        """Status of telling the server that an answer was wrong."""
        return httpx.post(
            f"{self.base}/v1/feedback",
            json={"trace": told.trace, "rating": "down", "correction": correction},
            headers={"authorization": f"Bearer {self.key}"},
        ).status_code

    def health(self) -> dict:
        return httpx.get(f"{self.base}/health").json()
