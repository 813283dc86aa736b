"""What both ways of training give: a point on the learning curve, and the variants behind it."""

from __future__ import annotations

from trimtab.types import CurvePoint, Noun, Variant


class Trained(Noun):
    """One finished training: its point on the curve and the variant of its best epoch."""

    point: CurvePoint
    variant: Variant
    tried: tuple[Variant, ...]
    """The variants of all its epochs, in order."""
