"""Writes docs/verdict.schema.json: python tests/docs/write_verdict_schema.py"""

from __future__ import annotations

import json
from pathlib import Path

from trimtab.types import Decision

SCHEMA = Path(__file__).parents[2] / "docs" / "verdict.schema.json"


def current_schema() -> str:
    """Of the file as it is written, where keys with a default are there too."""
    schema = Decision.model_json_schema(by_alias=True, mode="serialization")
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    SCHEMA.write_text(current_schema(), "utf-8")
