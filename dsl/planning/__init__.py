"""An estimator for every site, with its reasons in words; or the refusal.

May import: `text`, `syntax`, `tables`, `names`, `analysis`.
"""
