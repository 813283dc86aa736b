"""A score as dev gives it, for the tests of what chooses by it."""

from __future__ import annotations

from trimtab.types import CurvePoint, Interval, Variant, VariantScore


def dev_score(variant: Variant, quality: float) -> VariantScore:
    """Of a single row, without bounds."""
    interval = Interval(estimate=quality, low=None, high=None, n=1, method="test")
    return VariantScore(
        variant=variant.id,
        name=variant.name,
        arm=variant.arm,
        split="dev",
        n=1,
        failures=0,
        quality=interval,
        metrics={},
        validity=interval,
        tokens_in=1,
        tokens_cached=0,
        tokens_out=1,
    )


def curve_point(seed: int, quality: Interval) -> CurvePoint:
    """Of a training whose other figures do not matter."""
    return CurvePoint(
        rows=1,
        seed=seed,
        learning_rate=1.0,
        epoch=1,
        epochs=1,
        train_tokens=1,
        seconds=1.0,
        dev_loss=1.0,
        dev_quality=quality,
        variant="v",
    )
