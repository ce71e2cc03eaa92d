"""Many runs in blocks: settings, sizes, threads, backends (interpreted, compiled), moments.

May import: `arrays` to `gradients`, and `dsl`.
"""
