"""What torch computes for a block, written down as a graph, and the graph as code that needs no walk over the program.

May import: `arrays`, `laws`, `lanes`, and `dsl`.
"""
