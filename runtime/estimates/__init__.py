"""What a user asks: gradient, run, expectation, pilot, comparison, oracle, team.

May import: all the other rooms, and `dsl`.
"""
