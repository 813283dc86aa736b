"""Figures of the server in Prometheus' form. No texts, users or keys are in them."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_LATENCY_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)

Outcome = str
"""ok, invalid (an answer that breaks the contract), or the boundary of a failed call."""


class Metrics:
    """All figures of one server."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._calls = Counter(
            "trimtab_calls",
            "Calls that a variant took, by role and outcome.",
            ["role", "outcome"],
            registry=self._registry,
        )
        self._latency = Histogram(
            "trimtab_call_seconds",
            "Seconds from arrival to the answer of a variant.",
            ["role"],
            buckets=_LATENCY_BUCKETS_S,
            registry=self._registry,
        )
        self._tokens = Counter(
            "trimtab_tokens", "Tokens, by role and direction.", ["role", "direction"],
            registry=self._registry,
        )  # fmt: skip
        self._refused = Counter(
            "trimtab_refused", "Calls refused, by status.", ["status"], registry=self._registry
        )
        self._traces = Counter(
            "trimtab_traces",
            "Traces: stored, lost (not acknowledged), or left out by sampling.",
            ["result"],
            registry=self._registry,
        )
        self._skipped = Counter(
            "trimtab_shadow_skipped",
            "Calls that the shadow did not answer: too many waited.",
            registry=self._registry,
        )
        self.waiting = Gauge(
            "trimtab_waiting_calls", "Calls that wait for a model.", registry=self._registry
        )
        self.deployment = Gauge(
            "trimtab_deployment", "Number of the change in force.", registry=self._registry
        )
        self.behind = Gauge(
            "trimtab_deployment_behind",
            "1 where a newer change is wanted and cannot be loaded.",
            registry=self._registry,
        )

    def called(
        self, role: str, outcome: Outcome, seconds: float, tokens_in: int, tokens_out: int
    ) -> None:
        """Count one call of a variant."""
        self._calls.labels(role, outcome).inc()
        self._latency.labels(role).observe(seconds)
        self._tokens.labels(role, "in").inc(tokens_in)
        self._tokens.labels(role, "out").inc(tokens_out)

    def refused(self, status: int) -> None:
        self._refused.labels(str(status)).inc()

    def trace(self, result: str) -> None:
        self._traces.labels(result).inc()

    def shadow_skipped(self) -> None:
        self._skipped.inc()

    def text(self) -> bytes:
        """The exposition format, version 0.0.4."""
        return generate_latest(self._registry)
