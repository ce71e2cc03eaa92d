"""Walks a program on lanes: the walk, the layers of `apply`, sites, and the ways to branch and to loop.

May import: `arrays`, `laws`, `lanes`, `estimators`, and `dsl`.
"""
