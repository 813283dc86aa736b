"""From measured evidence to a verdict: money, gates and the rule."""
