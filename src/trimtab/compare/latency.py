"""Seconds per call, and how sure they are. Method, source and coverage: docs/statistics.md.

Few calls are timed, but the tokens of all answered rows are known, and the time of a call is
nearly affine in them. So the times are first put down to tokens; the figures then are those of all
answered rows. Where that does not describe the timed calls, only their order is used.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trimtab.compare.bounds import Array, blocks
from trimtab.types import Completion, Interval, Latency

DRAWS = 1_000
CALLS_FOR_P95 = 59
"""Least n with 0.95^n <= 0.05: fewer timed calls alone put no upper bound on their p95."""
_FEWEST_TO_FIT = 10
_OUTLIER_P = 0.01
"""Level of the test for one call that is too slow for its tokens (Bonferroni over all calls)."""
_CALLS_A_DRAW = 4_000
"""Simulated calls behind each draw of a 95th percentile, at the least."""


def latency(timed: Sequence[Completion], answered: Sequence[Completion], seed: int = 0) -> Latency:
    """Median, 95th percentile and mean of seconds per call, with 95% intervals of the last two.

    `timed` are calls made one at a time, their `latency_s` set; `answered` are the calls whose
    tokens stand for the task's traffic. Raises ValueError for no timed call, or one without a time.
    """
    seconds = np.array([_seconds(call) for call in timed])
    if not len(seconds):
        raise ValueError("no timed call: latency is unknown")
    if len(seconds) >= _FEWEST_TO_FIT and answered:
        model = _TokenModel(_tokens(timed), seconds)
        if not model.contradicted:
            return model.latency(_tokens(answered), seed)
    return _of_timed_calls(seconds)


def p95_order_bounds(seconds: Array) -> tuple[float | None, float | None]:
    """Distribution-free 95% bounds of the 95th percentile: two of the measured values.

    The number of calls below the percentile is binomial(n, 0.95). The upper bound may err in 2.5%
    of samples, or in 5% where n is too small for that, and is None where even the slowest call errs
    more often; the lower bound has the rest, and is None where that is too little.
    Source: David & Nagaraja 2003, Order Statistics, 7.1.
    """
    from scipy.special import bdtr

    ordered, n = np.sort(seconds), len(seconds)
    errs_low = bdtr(np.arange(n), n, 0.95)  # P(k-th smallest value lies above the percentile)
    errs_high = 1 - errs_low  # P(it lies below), for k = 1 to n
    uppers = np.flatnonzero(errs_high <= (0.025 if errs_high[-1] <= 0.025 else 0.05))
    left = 0.05 - (errs_high[uppers[0]] if len(uppers) else 0.0)
    lowers = np.flatnonzero(errs_low <= left)
    low = float(ordered[lowers[-1]]) if len(lowers) else None
    high = float(ordered[uppers[0]]) if len(uppers) else None
    return low, high


class _TokenModel:
    """seconds = (a + b input + c output) (1 + error), a, b, c >= 0, errors normal of one size.

    Least squares of the relative errors. The uncertainty is that of a normal linear model under
    the usual uninformative prior: error size from a scaled inverse chi-square, then coefficients
    from a normal. Source: Gelman et al. 2013, Bayesian Data Analysis, 14.2.
    """

    def __init__(self, tokens: Array, seconds: Array) -> None:
        from scipy.optimize import nnls

        rough = np.maximum(tokens @ nnls(tokens, seconds)[0], 1e-9)
        weighted = tokens / rough[:, None]
        self._coefficients = nnls(weighted, seconds / rough)[0]
        self._errors = seconds / rough - weighted @ self._coefficients
        self._freedom = len(seconds) - int(np.linalg.matrix_rank(tokens))
        self._size = float(np.sqrt(self._errors @ self._errors / self._freedom))
        self._covariance = np.linalg.pinv(weighted.T @ weighted)
        self._leverage = np.einsum("ij,jk,ik->i", weighted, self._covariance, weighted)

    @property
    def contradicted(self) -> bool:
        """Whether one call is slower than normal errors allow: a pause that no token explains.

        The largest studentised residual against Student's t. Source: Cook & Weisberg 1982,
        Residuals and Influence in Regression, 2.2.2.
        """
        from scipy.special import stdtr

        if self._size == 0:
            return False
        spread = self._size * np.sqrt(np.maximum(1 - self._leverage, 1e-9))
        worst = float((self._errors / spread).max())
        rest = self._freedom - worst**2
        if rest <= 0:
            return True
        studentised = worst * np.sqrt((self._freedom - 1) / rest)
        chance = len(self._errors) * float(stdtr(self._freedom - 1, -studentised))
        return chance < _OUTLIER_P

    def latency(self, rows: Array, seed: int) -> Latency:
        """The figures of calls with these tokens."""
        rng = np.random.default_rng(seed)
        values, vectors = np.linalg.eigh(self._covariance)
        root = vectors * np.sqrt(np.maximum(values, 0.0))
        p95s, means = [], []
        for draws in blocks(DRAWS, max(len(rows), _CALLS_A_DRAW)):
            sizes = self._size * np.sqrt(self._freedom / rng.chisquare(self._freedom, draws))
            moved = sizes[:, None] * (rng.standard_normal((draws, len(values))) @ root.T)
            drawn = rng.integers(0, len(rows), (draws, len(rows)))
            each = np.take_along_axis((self._coefficients + moved) @ rows.T, drawn, axis=1)
            means.append(each.mean(axis=1))
            calls = _with_errors(each, sizes, _CALLS_A_DRAW, rng)
            p95s.append(np.quantile(calls, 0.95, axis=1))
        seconds = rows @ self._coefficients
        size = np.array([self._size])
        many = _with_errors(seconds[None], size, 50 * _CALLS_A_DRAW, rng)
        p50, p95 = (float(q) for q in np.quantile(many, (0.5, 0.95)))
        mean, n = float(seconds.mean()), len(self._errors)
        return Latency(
            p50=p50,
            p95=p95,
            mean=mean,
            n=n,
            p95_interval=_of_draws(p95, np.concatenate(p95s), n),
            mean_interval=_of_draws(mean, np.concatenate(means), n),
        )


def _with_errors(seconds: Array, sizes: Array, least: int, rng: np.random.Generator) -> Array:
    """(D, >= `least`) simulated calls from (D, N) expected times and (D,) sizes of the errors."""
    draws, rows = seconds.shape
    errors = rng.standard_normal((draws, -(-least // rows), rows))
    calls = np.maximum(seconds[:, None] * (1 + sizes[:, None, None] * errors), 0.0)
    return calls.reshape(draws, -1)


def _of_draws(estimate: float, draws: Array, n: int) -> Interval:
    # "weibull" is the estimate whose tails are right on average, also for few draws.
    low, high = (float(q) for q in np.quantile(draws, (0.025, 0.975), method="weibull"))
    method = f"seconds from tokens, {DRAWS:,} draws"
    return Interval(estimate=estimate, low=low, high=high, n=n, method=method)


def _of_timed_calls(seconds: Array) -> Latency:
    """What the times alone say: percentiles that are measured values, and Student's interval."""
    n = len(seconds)
    p50, p95 = (float(q) for q in np.quantile(seconds, (0.5, 0.95), method="inverted_cdf"))
    mean = float(seconds.mean())
    low, high = p95_order_bounds(seconds)
    mean_low, mean_high = _student_bounds(seconds)
    return Latency(
        p50=p50,
        p95=p95,
        mean=mean,
        n=n,
        p95_interval=Interval(estimate=p95, low=low, high=high, n=n, method="order statistics"),
        mean_interval=Interval(
            estimate=mean, low=mean_low, high=mean_high, n=n, method="Student's t"
        ),
    )


def _student_bounds(seconds: Array) -> tuple[float | None, float | None]:
    from scipy.special import stdtrit

    n = len(seconds)
    if n < 2:
        return None, None
    half = float(stdtrit(n - 1, 0.975)) * float(seconds.std(ddof=1)) / np.sqrt(n)
    return max(0.0, float(seconds.mean() - half)), float(seconds.mean() + half)


def _tokens(calls: Sequence[Completion]) -> Array:
    """(n, 3): 1, tokens read anew and tokens written."""
    return np.array([(1.0, c.tokens_in - c.tokens_cached, c.tokens_out) for c in calls])


def _seconds(call: Completion) -> float:
    if call.latency_s is None:
        raise ValueError("a timed call without its time")
    return call.latency_s
