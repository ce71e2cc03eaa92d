"""The workshop: runs a program on torch.  The only room that imports torch."""
