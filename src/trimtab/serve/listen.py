"""Listens until told to end, and ends with every request answered."""

from __future__ import annotations

import signal

import uvicorn
from starlette.types import ASGIApp

from trimtab.serve.protocol import LimitedProtocol


async def listen(app: ASGIApp, host: str, port: int, drain_seconds: int) -> None:
    """Serve `app` until SIGTERM or Ctrl-C; what is under way then has `drain_seconds` to end."""
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        http=LimitedProtocol,
        log_config=None,
        access_log=False,
        lifespan="on",
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=drain_seconds,
    )
    # uvicorn drains, and then raises the signal again for whoever handled it before: that would
    # end a good shutdown with the exit code of a killed process.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    await uvicorn.Server(config).serve()
