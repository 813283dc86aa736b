"""Decides a task again on new data, and brings a better variant into service step by step."""
