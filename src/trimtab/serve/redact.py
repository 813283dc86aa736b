"""Masks what must not be stored in a text."""

from __future__ import annotations

import re

from trimtab.audit.personal import mask_all
from trimtab.serve.settings import CaptureSettings

REDACTED = "[redacted]"


class Redactor:
    """Applies the task's own expressions first, then the patterns for personal data."""

    def __init__(self, settings: CaptureSettings) -> None:
        self._patterns = [re.compile(pattern) for pattern in settings.redact]
        self._personal = settings.personal_data == "mask"

    def __call__(self, text: str) -> str:
        for pattern in self._patterns:
            text = pattern.sub(REDACTED, text)
        return mask_all(text) if self._personal else text
