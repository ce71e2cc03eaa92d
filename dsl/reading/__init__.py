"""From text to syntax tree and back: tokens, the tree, syntax errors, the formatter.

May import: `text`, `syntax`, `tables` and the grammar.
"""
