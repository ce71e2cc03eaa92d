"""The reader: text in, facts out.  Knows no torch, draws no randomness, opens no files, prints nothing."""
