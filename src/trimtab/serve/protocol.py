"""HTTP as uvicorn reads it, with a limit on all that is not a body."""

from __future__ import annotations

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MOST_BYTES = 256 * 1024
"""Of heads, trailers and the frames of chunks, in one request."""


class LimitedProtocol(HttpToolsProtocol):
    """Hangs up where a request's head or trailers do not end.

    uvicorn's parser keeps them, however long they are, before the application sees anything: who
    has no key could fill the memory.
    """

    _beside_body = 0

    def data_received(self, data: bytes) -> None:
        self._beside_body += len(data)
        super().data_received(data)
        if self._beside_body <= MOST_BYTES or self.transport.is_closing():
            return
        if self.cycle is None or self.cycle.response_complete:
            self.send_400_response("The head of the request is too long.")
        else:
            self.transport.close()

    def on_body(self, body: bytes) -> None:
        self._beside_body -= len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._beside_body = 0
        super().on_message_complete()
