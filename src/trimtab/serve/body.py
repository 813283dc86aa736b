"""Reads what a client sends, up to a limit."""

from __future__ import annotations

from starlette.requests import ClientDisconnect, Request

from trimtab.serve.refusal import Refused


async def read_body(request: Request, most: int) -> bytes:
    """Raises `Refused` for a body of more than `most` bytes, of which no more are read."""
    refusal = Refused(413, f"the body may have {most} bytes", code="request_too_large")
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > most:
        raise refusal
    body = bytearray()
    try:
        async for part in request.stream():
            body += part
            if len(body) > most:
                raise refusal
    except ClientDisconnect:
        raise Refused(400, "the connection ended inside the body") from None
    return bytes(body)
