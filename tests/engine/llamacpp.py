"""llama.cpp's own HTTP server, in a process of its own: `python llamacpp.py MODEL PORT`.

It comes with the wheel `xllamacpp`, prebuilt for CPUs; here it has four slots of 1,024 tokens.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from pathlib import Path

SLOTS = 4
CONTEXT = 1024


class LlamaServer:
    """A running server; `kill` it, and `start` it again at the same address."""

    def __init__(self, model: Path) -> None:
        self._model = model
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self._port}/v1"
        self.start()

    def start(self) -> None:
        command = [sys.executable, __file__, str(self._model), str(self._port)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n", "the server did not start"

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


def serve(model: str, port: int) -> None:
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = model
    params.port = port
    params.n_parallel = SLOTS
    params.n_ctx = SLOTS * CONTEXT
    params.verbosity = 0
    # Its threads wait for each other in a loop, which on a busy machine is slower than one alone.
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    server = xllamacpp.Server(params)
    assert server.listening_address.endswith(f":{port}")
    print("ready", flush=True)
    while True:
        time.sleep(60)


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]))
