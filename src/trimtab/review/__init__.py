"""Experts review what was answered, and the pages from which a served task is looked after."""
