"""What every caller of an endpoint needs: its address, its key, and how long to wait for it."""

from __future__ import annotations

import os
import random
import re

import httpx

from trimtab.errors import ModelError
from trimtab.task.spec import ModelSpec

_FIRST_WAIT_S = 0.5


def base_url(spec: ModelSpec) -> httpx.URL:
    """The address in `spec`. Raises `ModelError` where it is missing or no web address."""
    example = "such as http://localhost:8000/v1"
    if spec.base_url is None:
        raise ModelError(f"model {spec.model!r}: engine openai needs a `base_url`, {example}")
    try:
        url = httpx.URL(spec.base_url)
    except httpx.InvalidURL as error:
        raise ModelError(f"model {spec.model!r}: `base_url` is not valid: {error}") from error
    if url.scheme not in ("http", "https") or not url.host:
        raise ModelError(f"model {spec.model!r}: `base_url` must be a web address, {example}")
    return url


def api_key(spec: ModelSpec) -> str | None:
    """The key in the variable that `spec` names; None where it names none. Raises `ModelError`."""
    if spec.api_key_env is None:
        return None
    key = os.environ.get(spec.api_key_env, "").strip()
    if not key:
        raise ModelError(
            f"model {spec.model!r}: the environment variable {spec.api_key_env} that `api_key_env` "
            "names is not set; export the key in it, or leave `api_key_env` out"
        )
    if not (key.isascii() and key.isprintable()):
        raise ModelError(
            f"the environment variable {spec.api_key_env} holds characters that no key has"
        )
    return key


def without_key(text: str, key: str | None) -> str:
    """`text` as it may be shown and kept."""
    return text.replace(key, "***") if key else text


def wait_s(tried: int, retry_after_s: float | None) -> float:
    """Twice as long after each try, with jitter so that concurrent calls do not return as one."""
    if retry_after_s is not None:
        return retry_after_s
    jitter = random.SystemRandom().uniform(0.5, 1.5)
    return jitter * _FIRST_WAIT_S * float(2 ** (tried - 1))


def retry_after_s(header: str | None) -> float | None:
    """Seconds of a Retry-After header; its form as a date is rare here and left to the backoff."""
    if header is None or not re.fullmatch(r"\d{1,9}(\.\d*)?", header.strip()):
        return None
    return float(header)


def one_line(body: str) -> str:
    """The first 120 characters of an answer, quoted, on one line."""
    return repr(" ".join(body[:2000].split())[:120])
