"""What editors, shells and whatever colours text ask: the language server (`probrun lsp`), a lexer for Pygments.

May import `dsl` and `grammar`; the pages of `probrun help` and of `probrun explain` are handed in.  Knows no torch.
"""
