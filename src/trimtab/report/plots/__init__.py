"""The report's plots: pure functions from a decision to inline SVG of a given width.

Each takes the decision, a name for its ids that is unique on the page, and a width in px, and
returns None where the decision holds nothing to draw.
"""

from trimtab.report.plots.arms import arms
from trimtab.report.plots.cost import quality_by_cost, quality_by_tokens
from trimtab.report.plots.curve import learning_curve
from trimtab.report.plots.search import plateau_curve
from trimtab.report.plots.tornado import tornado
from trimtab.report.plots.volume import break_even

__all__ = [
    "arms",
    "break_even",
    "learning_curve",
    "plateau_curve",
    "quality_by_cost",
    "quality_by_tokens",
    "tornado",
]
