"""The grammar itself: no ambiguity resolved in silence, prepared tables up to date, every rule built."""

from __future__ import annotations

import lark

from probrun.dsl.reading.builder import Builder
from probrun.grammar import build_parser, fingerprint, load_parser, tables


def test_the_grammar_is_unambiguous() -> None:
    assert build_parser(strict=True).parse("y = 1\n", start="program") is not None


def test_the_prepared_tables_are_those_of_the_grammar() -> None:
    hint = "run `python -m probrun.grammar.build_tables`"
    assert tables.FINGERPRINT.split()[2] == fingerprint().split()[2], hint
    if tables.FINGERPRINT.split()[1] == lark.__version__:
        text = "if a { x[1:2,] = f(k=2) } else { z ~ Normal(0, 1) using gumbel(tau=0.1) }\n"
        assert load_parser().source_path == "<deserialized>"
        assert load_parser().parse(text, start="program") == build_parser().parse(text, start="program")


def test_every_rule_has_its_method() -> None:
    callbacks = {rule.alias or rule.options.template_source or rule.origin.name for rule in build_parser().rules}
    helpers = {name for name in callbacks if name.startswith("_")}
    inlined = {rule.origin.name for rule in build_parser().rules if rule.options.expand1}
    missing = {name for name in callbacks - helpers - inlined if not hasattr(Builder, str(name))}
    assert not missing
