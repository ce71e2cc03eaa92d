"""Runs, the maps between them, variables and weights on them, what depends on what; reasons to begin again.

May import: `arrays`, `laws`, and `dsl`.
"""
