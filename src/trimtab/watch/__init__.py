"""Watches a served task: do its inputs, answers, latency, cost and quality stay as decided?"""
