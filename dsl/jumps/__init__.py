"""Where continuous draws make the result jump: roots, found by a walk through the text backwards.

May import: `text`, `syntax`, `tables`, `reading`, `names`, `analysis`.
"""
