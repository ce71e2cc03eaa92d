"""Sweeps, parts that are merged, traces and profiles: the commands, and what they show.

May import: all rooms above it; the command line finds its commands by their names (`cli.py: Ordered`).
"""
