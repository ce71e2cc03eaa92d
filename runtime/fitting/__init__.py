"""Parameters that minimise or maximise an expectation: coordinates, descent, and how far the end may be off.

May import: all rooms above it.
"""
