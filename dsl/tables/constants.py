"""The names that every program knows without declaring them."""

from __future__ import annotations

import math

CONSTANTS: dict[str, float] = {"pi": math.pi, "inf": math.inf}
