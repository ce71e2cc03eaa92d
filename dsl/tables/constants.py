"""The names that every program knows without declaring them."""

from __future__ import annotations

import math

CONSTANTS: dict[str, float] = {"pi": math.pi, "inf": math.inf}

# What can be asked of a program whose runs have weights w, beside its results: log E[w], E[log w], E[log of the mean of k weights].
EVIDENCE, ELBO, IWAE = "evidence", "elbo", "iwae"
BOUND = "\1elbo"  # the mean of the logarithm of each run's weight, discrete draws summed out
