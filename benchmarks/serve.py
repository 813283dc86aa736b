"""What serving adds to a call, and how many calls it carries beside the LiteLLM proxy.

    python benchmarks/serve.py [--rounds 3] [--seconds 10] [--no-litellm]

An instant endpoint answers every call with the same completion. First the endpoint alone and
Trimtab in front of it get the same calls at 200 a second, in turn: the difference of their p99 is
what routing, validation and capture add, with every trace on the disk before its answer is sent.
Then Trimtab and LiteLLM's proxy get calls as fast as they take them, over 32 connections. Each
server has one core; the endpoint and the load generator share the other. Prints one JSON line.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from _load import as_fast_as_possible, at_rate, chat_request
from _pairs import peer_python
from _servers import (
    decided_task,
    free_port,
    instant_endpoint,
    promote_winner,
    started,
    trimtab_server,
)

PER_SECOND = 200
CONNECTIONS = 32
LOAD_CORE, SERVER_CORE = 0, 1
LITELLM = ["litellm[proxy]==1.80.0"]
_CONFIG = """\
model_list:
  - model_name: names
    litellm_params: {{model: openai/m, api_base: "http://127.0.0.1:{port}/v1", api_key: none}}
litellm_settings: {{telemetry: false, num_retries: 0}}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--no-litellm", action="store_true")
    options = parser.parse_args()
    os.sched_setaffinity(0, {LOAD_CORE})
    with tempfile.TemporaryDirectory() as temporary, ExitStack() as stack:
        folder = Path(temporary) / "task"
        endpoint = stack.enter_context(instant_endpoint(LOAD_CORE))
        decided_task(folder, endpoint)
        url = str(folder / "production.sqlite")
        promote_winner(folder, url)
        ports = {"trimtab": stack.enter_context(trimtab_server(folder, url, SERVER_CORE))[0]}
        figures = overhead(endpoint, ports["trimtab"], options.rounds, options.seconds)
        if not options.no_litellm:
            ports["litellm"] = stack.enter_context(litellm_proxy(Path(temporary), endpoint))
        rates = throughput(ports, options.rounds)
    figures["calls_per_second"] = rates
    if "litellm" in rates:
        figures["times_litellm"] = round(rates["trimtab"] / rates["litellm"], 2)
    print(json.dumps(figures))


def overhead(endpoint: int, trimtab: int, rounds: int, seconds: float) -> dict[str, object]:
    """p50 and p99 in milliseconds, of all rounds together."""
    count = int(PER_SECOND * seconds)
    ports = {"endpoint": endpoint, "trimtab": trimtab}
    times: dict[str, list[float]] = {name: [] for name in ports}
    asyncio.run(at_rate(trimtab, [chat_request(trimtab, "names", "warm up")] * 200, PER_SECOND))
    for number in range(1, rounds + 1):
        for name, port in ports.items():
            requests = [chat_request(port, "names", f"Anna {number} {i}") for i in range(count)]
            found = asyncio.run(at_rate(port, requests, PER_SECOND))
            print(f"round {number}, {name}: {_quantiles(found)}", file=sys.stderr)
            times[name] += found
    all_rounds = {name: _quantiles(found) for name, found in times.items()}
    added = {
        key: round(all_rounds["trimtab"][key] - all_rounds["endpoint"][key], 2)
        for key in ("p50_ms", "p99_ms")
    }
    return {"per_second": PER_SECOND, "calls": count * rounds, **all_rounds, "added": added}


def throughput(ports: dict[str, int], rounds: int) -> dict[str, float]:
    """Median calls a second of each server, measured in turn."""
    rates: dict[str, list[float]] = {name: [] for name in ports}
    for number in range(1, rounds + 1):
        for name, port in ports.items():
            requests = [chat_request(port, "names", f"Anna {number} {i}") for i in range(1500)]
            rate = asyncio.run(as_fast_as_possible(port, requests, CONNECTIONS))
            print(f"round {number}, {name}: {rate:.0f} calls/s", file=sys.stderr)
            rates[name].append(rate)
    return {name: round(statistics.median(found), 1) for name, found in rates.items()}


@contextmanager
def litellm_proxy(folder: Path, endpoint: int) -> Iterator[int]:
    """LiteLLM's proxy in front of the same endpoint, without a database; gives its port."""
    python = peer_python("litellm", LITELLM)
    config = folder / "litellm.yaml"
    config.write_text(_CONFIG.format(port=endpoint), "utf-8")
    port = free_port()
    command = [str(Path(python).with_name("litellm")), "--config", str(config)]
    command += ["--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]
    with started(command, f"http://127.0.0.1:{port}/health/liveliness", SERVER_CORE):
        yield port


def _quantiles(seconds: list[float]) -> dict[str, float]:
    cuts = statistics.quantiles(seconds, n=100)
    return {"p50_ms": round(cuts[49] * 1000, 2), "p99_ms": round(cuts[98] * 1000, 2)}


if __name__ == "__main__":
    main()
