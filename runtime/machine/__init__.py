"""Walks a program on lanes: the walk, sites, and the ways to branch and to loop.

May import: `arrays`, `laws`, `lanes`, `estimators`, and `dsl`.
"""
