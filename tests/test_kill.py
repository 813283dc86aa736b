"""kill -9 on the real model: the same verdict and scores, and nothing done twice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent


@pytest.mark.slow
def test_a_killed_decision_ends_like_an_undisturbed_one():
    # The model is converted once per machine, so this uses the user's own cache of models.
    environment = {k: v for k, v in os.environ.items() if k != "TRIMTAB_CACHE"}
    script = REPOSITORY / "benchmarks/kill.py"
    result = subprocess.run(
        [sys.executable, str(script), "--kills", "2"],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    found = json.loads(result.stdout.splitlines()[-1])
    assert found["kills"] == 2
    assert found["different"] == []
    assert (found["calls_twice"], found["epochs_twice"]) == (0, 0)
    assert found["calls"] > 0
    assert found["epochs"] > 0
