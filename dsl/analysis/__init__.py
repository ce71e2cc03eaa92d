"""What follows from the text alone: what is live, what reaches a jump, what is a sum, and which rounds of a loop are independent.

May import: `text`, `syntax`, `tables`, `names`.
"""
