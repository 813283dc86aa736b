"""Is the verdict right? Simulated teams decide from recorded outcomes. See docs/truth.md."""
