"""What follows from the text alone: what is live, what reaches a jump, which variables are sums, which loops have independent rounds.

May import: `text`, `syntax`, `tables`, `names`.
"""
