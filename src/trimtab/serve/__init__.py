"""Serves a task's promoted variants behind OpenAI's interface, and captures what they answer."""
