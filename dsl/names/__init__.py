"""What every name of a program means: scopes, uses, assignment, sites, results.

May import: `text`, `syntax`, `tables`.
"""
