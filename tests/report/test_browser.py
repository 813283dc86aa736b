"""Renders the report in Chromium; needs no network."""

import html
import json
import re
import shutil
import subprocess

import pytest

from trimtab.report.html import render_html

from . import decisions

CHROMIUM = shutil.which("chromium")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed"),
]

MEASURE = """
<body style="margin:0"><iframe id="page" style="border:0;width:{width}px;height:3000px"
srcdoc="{page}"></iframe><script>
const frame = document.getElementById("page");
frame.onload = () => {{
  const root = frame.contentDocument.documentElement;
  const beyond = [...frame.contentDocument.querySelectorAll("body *")]
    .filter(e => e.getClientRects().length && getComputedStyle(e).clipPath === "none")
    .filter(e => !e.closest("thead") && !e.closest("svg") || e.tagName === "svg")
    .filter(e => e.getBoundingClientRect().right > {width} + 0.5)
    .map(e => e.outerHTML.slice(0, 90));
  const shown = [...frame.contentDocument.querySelectorAll("svg")]
    .filter(e => e.getClientRects().length).length;
  document.body.textContent = "RESULT" + JSON.stringify(
    {{width: root.scrollWidth, height: root.scrollHeight, beyond, shown}}) + "END";
}};
</script></body>
"""


def measured(page: str, width: int, folder) -> dict:
    wrapper = folder / "wrapper.html"
    wrapper.write_text(MEASURE.format(width=width, page=html.escape(page)))
    command = [
        CHROMIUM,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        f"--user-data-dir={folder / 'profile'}",
        f"--window-size={max(width, 500)},3000",
        "--hide-scrollbars",
        "--virtual-time-budget=5000",
        "--dump-dom",
        str(wrapper),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=True)
    found = re.search(r"RESULT(\{.*\})END", done.stdout, re.S)
    assert found, done.stdout[-500:]
    return json.loads(html.unescape(found.group(1)))


def wordy():
    """The complete decision with words that do not break by themselves."""
    decision = decisions.complete()
    long = "x" * 300
    case = decision.cases[0].model_copy(update={"input": long, "tune_answer": long})
    gate = decision.verdict.gates[0].model_copy(update={"evidence": long, "threshold": long})
    verdict = decision.verdict.model_copy(update={"headline": long, "gates": (gate,)})
    prompt = decision.prompt.model_copy(update={"name": long})
    first = decision.dev_scores[0].model_copy(update={"name": long})
    return decision.model_copy(
        update={
            "task": long,
            "run": long,
            "cases": (case,),
            "verdict": verdict,
            "prompt": prompt,
            "dev_scores": (first, *decision.dev_scores[1:]),
            "environment": {long: long},
        }
    )


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("build", [decisions.complete, decisions.sparse, wordy])
def test_nothing_reaches_beyond_the_page(build, width, tmp_path):
    page = measured(render_html(build()), width, tmp_path)
    assert page["beyond"] == []
    assert page["width"] == width
    assert page["height"] > 1000


@pytest.mark.parametrize("width", [390, 1280])
def test_each_plot_is_shown_once_at_either_width(width, tmp_path):
    assert measured(render_html(decisions.complete()), width, tmp_path)["shown"] == 7
