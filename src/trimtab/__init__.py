"""Trimtab decides, with evidence, between prompting and fine-tuning a language model for a task."""
