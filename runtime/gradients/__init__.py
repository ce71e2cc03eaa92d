"""From the outcome of a block to the gradient of every run.

May import: `arrays`, `laws`, `lanes`, `estimators`, `machine`, and `dsl`.
"""
