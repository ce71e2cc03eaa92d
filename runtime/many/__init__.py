"""Many runs and single ones: sweeps over points, runs made in parts, and what happened in one run, or on one line.

May import: all rooms above it.
"""
