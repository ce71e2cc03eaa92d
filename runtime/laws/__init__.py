"""Distributions as code, and the noise that they are made of.

May import: `arrays`, and `dsl`.
"""
