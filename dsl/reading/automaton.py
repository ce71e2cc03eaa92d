"""lark's LALR tables, followed token by token.

As `InteractiveParser.feed_token`, on the same stacks, but for two things that make most of its time on a long program: what a rule
does is found by the rule itself and not by its hash, and a rule that hands on its one child (`?sum: product`, eight of them above
every name) only changes the state.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from lark import Token
from lark.exceptions import UnexpectedToken
from lark.parse_tree_builder import ExpandSingleChild
from lark.parsers.lalr_analysis import Shift

Production = tuple[int, str, "Callable[[list[Any]], Any] | None"]  # children, what they become, and how (None: the one child)


class Automaton:
    """The tables of one parser."""

    def __init__(self, conf: Any):  # `ParseConf`, untyped in lark
        self.states: dict[Any, dict[str, tuple[Any, Any]]] = conf.states
        self.callbacks: dict[Any, Any] = conf.callbacks
        self.productions: dict[int, Production] = {}

    def production(self, rule: Any) -> Production:
        """What a rule does, which is one of the tables' own."""
        found = self.productions.get(id(rule))
        if found is None:
            build = self.callbacks[rule]
            size = len(rule.expansion)
            single = size == 1 and isinstance(build, ExpandSingleChild)
            found = self.productions[id(rule)] = (size, rule.origin.name, None if single else build)
        return found

    def feed(self, state: Any, token: Token) -> Any:
        """One token for the stacks of a `ParserState`; the value of the start rule after `$END`; raises UnexpectedToken."""
        places, values, states = state.state_stack, state.value_stack, self.states
        kind, end = token.type, state.parse_conf.end_state
        while True:
            row = states[places[-1]]
            if kind not in row:
                raise cast(Any, UnexpectedToken)(token, set(), state=state)
            action, arg = row[kind]
            if action is Shift:
                places.append(arg)
                values.append(token)
                return None
            size, origin, build = self.productions.get(id(arg)) or self.production(arg)
            if build is None:
                places[-1] = states[places[-2]][origin][1]
            else:
                children = values[-size:] if size else []
                if size:
                    del places[-size:]
                    del values[-size:]
                values.append(build(children))
                places.append(states[places[-1]][origin][1])
            if kind == "$END" and places[-1] == end:
                return values[-1]
