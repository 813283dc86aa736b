"""Links between pages lead somewhere."""

from __future__ import annotations

import re

import pytest

from .pages import ROOT, page

PAGES = sorted(
    str(path.relative_to(ROOT)) for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]
)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def anchors(name: str) -> set[str]:
    """As GitHub makes them: lower case, without punctuation, hyphens for spaces."""
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        for heading in _HEADING.findall(page(name))
    }


@pytest.mark.parametrize("name", PAGES)
def test_relative_links_and_their_anchors_exist(name):
    here = ROOT / name
    for link in _LINK.findall(page(name)):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (here.parent / path).resolve() if path else here
        assert target.exists(), link
        if anchor and target.suffix == ".md":
            assert anchor in anchors(str(target.relative_to(ROOT))), link
