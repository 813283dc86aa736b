"""Reviews to and from files: rows as JSONL or CSV, and the JSON of Argilla and of Label Studio."""
