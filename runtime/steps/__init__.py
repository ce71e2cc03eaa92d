"""What a training loop asks again and again: expectations as tensors of the caller's graph, and steps that are made once.

May import: `arrays` to `estimates`, and `dsl`.
"""
