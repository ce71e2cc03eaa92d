"""Where draws make the result jump, found backwards in the text.

May import: `names`, `tables`, `text`.
"""
