"""Arithmetic on tensors with a lane axis in front; knows no program.

May import: `dsl` only.
"""
