"""What grows: distributions, functions, estimators, the ranges of their values, limits and constants, a row each.

May import: `text` and `syntax`.
"""
