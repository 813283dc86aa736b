"""Writes a fine-tune in the forms that other programs load, and loads them back."""
