"""The text of a program and what is said about it: places, diagnostics, their codes and pages.

May import: nothing of probrun.
"""
