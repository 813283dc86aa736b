"""A call that is answered with an error, in OpenAI's shape."""

from __future__ import annotations

from pydantic import JsonValue


class Refused(Exception):
    """Ends a call with an HTTP status and a message for the caller's developer.

    `kind` and `code` are OpenAI's words where it has one; `retry_after_s` goes into the header
    that OpenAI's clients wait by.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = "invalid_request_error",
        code: str | None = None,
        param: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.kind = kind
        self.code = code
        self.param = param
        self.retry_after_s = retry_after_s

    @property
    def body(self) -> dict[str, JsonValue]:
        return {
            "error": {
                "message": self.message,
                "type": self.kind,
                "param": self.param,
                "code": self.code,
            }
        }
