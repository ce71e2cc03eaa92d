"""What colours programs: the TextMate grammar and the extension around it, the Pygments lexer, the syntax of Vim."""

from __future__ import annotations

import importlib.util
import json
import re
import tomllib
import xml.etree.ElementTree as ElementTree
import zipfile
from functools import cache
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from pygments.token import Comment, Error, Keyword, Name, Number

from probrun.dsl.reading.parser import parse
from probrun.dsl.reading.words import reserved, words
from probrun.dsl.tables.constants import ELBO, EVIDENCE, IWAE
from probrun.dsl.text.diagnostics import ProbError
from probrun.dsl.text.source import Source
from probrun.editor.highlight import ProbLexer
from probrun.help import WORDS

ROOT = Path(__file__).resolve().parent.parent
CODE = ROOT / "editors" / "vscode"
EXAMPLES = sorted((ROOT / "examples").glob("*.prob"))


def _maker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make", ROOT / "editors" / "make.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


MAKER = _maker()
SCOPES = {
    "declaring": "storage.type.prob", "operators": "keyword.operator.word.prob", "control": "keyword.control.prob",
    "constants": "constant.language.prob", "distributions": "support.class.distribution.prob",
    "functions": "support.function.prob", "domains": "support.type.domain.prob",
}
WELL = """
# every word in its place: π 🎲
param mu[3] in simplex; param größe in (0, inf) = 1e-3
data y[n] = [1, .5, 2.]
fn f(a) { factor -a^2; e ~ Normal(a, 1) using score via StudentT(3, a, 2) ; return e }
factor = 2; factor factor
x[0:2] = y
z ~ Gamma(2, rate=1) via Gamma(1, 1)
if not (z >= 2 and z != pi or true) { observe y[0] ~ Normal(z, 1) } else if z <= 0 { observe z < 1 } else { }
for t in range(3) { while false { } }
return if z > 1 then logpdf(Normal(0, 1), z) else f(z)**2 % 3
"""


@cache
def rules() -> list[tuple[re.Pattern[str], str | None, dict[int, str]]]:
    grammar = json.loads((CODE / "syntaxes" / "prob.tmLanguage.json").read_text(encoding="utf-8"))
    return [
        (re.compile(rule["match"]), rule.get("name"), {int(number): group["name"] for number, group in rule.get("captures", {}).items()})
        for rule in grammar["patterns"]
    ]


def scopes(text: str) -> list[tuple[str, str | None]]:
    """Pieces of a text with their scopes, as vscode-textmate makes them of a grammar of `match` rules: line by line, the
    earliest match, of several the first rule."""
    found: list[tuple[str, str | None]] = []
    for line in text.split("\n"):
        place = 0
        while place < len(line):
            matches = [(match.start(), number, match) for number, (rule, *_) in enumerate(rules()) if (match := rule.search(line, place))]
            if not matches:
                break
            start, number, match = min(matches, key=lambda entry: entry[:2])
            assert match.end() > start, line
            _, name, groups = rules()[number]
            found.append((line[place:start], None))
            if groups:
                found += [(match[group], scope) for group, scope in groups.items() if match[group]]
            else:
                found.append((match[0], name))
            place = match.end()
        found.append((line[place:], None))
    return [(piece, scope) for piece, scope in found if piece.strip()]


def test_the_files_are_what_the_language_makes() -> None:
    for path, text in MAKER.made().items():
        assert path.read_text(encoding="utf-8") == text, f"{path}: run python editors/make.py"


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_have_colours(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    pieces = scopes(text)
    assert [piece for piece, scope in pieces if scope is None or "invalid" in scope] == []
    tokens = list(ProbLexer(ensurenl=False, stripnl=False).get_tokens(text))
    assert [piece for kind, piece in tokens if kind in Error] == [] and "".join(piece for _, piece in tokens) == text


def test_words_in_their_places() -> None:
    parts = scopes(WELL)
    assert [piece for piece, scope in parts if scope is None or "invalid" in scope] == []
    found = {(piece, scope) for piece, scope in parts}
    for word in reserved():
        kind = next(kind for kind, members in words().items() if word in members)
        assert (word, SCOPES[kind]) in found, word
    assert {("factor", "keyword.control.prob"), ("factor", "variable.other.prob"), ("via", "keyword.control.prob")} <= found
    assert {("score", "support.type.estimator.prob"), ("f", "entity.name.function.prob"), ("f", "entity.name.function.call.prob")} <= found
    assert {("größe", "variable.other.prob"), ("1e-3", "constant.numeric.prob"), (".5", "constant.numeric.prob"), ("2.", "constant.numeric.prob")} <= found
    lexed = set(ProbLexer().get_tokens(WELL))
    assert not [piece for kind, piece in lexed if kind in Error]
    assert {(Keyword, "factor"), (Name.Variable, "factor"), (Keyword, "via"), (Name.Decorator, "score"), (Name.Function, "f"),
            (Number, "1e-3"), (Name.Class, "Gamma"), (Name.Builtin, "logpdf"), (Keyword.Declaration, "param"),
            (Comment.Single, "# every word in its place: π 🎲")} <= lexed


def test_every_word_with_a_page_is_known() -> None:
    """So that what the language gets is coloured, completed and explained (`dsl/reading/words.py`)."""
    asked_for = {EVIDENCE, ELBO, IWAE}  # by --of, not in programs
    assert set(WORDS) - asked_for <= {word for members in words().values() for word in members}


@pytest.mark.parametrize("kind", ["distributions", "functions"])
def test_every_distribution_and_function_has_its_scope(kind: str) -> None:
    for word in words()[kind]:
        assert scopes(f"x = {word} (1)")[2] == (word, SCOPES[kind])
        assert (Name.Class if kind == "distributions" else Name.Builtin, word) in list(ProbLexer().get_tokens(f"x = {word}(1)"))
        assert scopes(f"{word}x = 1")[0] == (f"{word}x", "variable.other.prob")


@pytest.mark.parametrize("text", ["a && b", "x := 1", "x += 1", 'print("a")', "a // b", "x = 1 ? 2", "@a"])
def test_what_is_never_right_is_shown(text: str) -> None:
    with pytest.raises(ProbError):
        parse(Source("x", text))
    assert any(scope is not None and "invalid" in scope for _, scope in scopes(text))
    assert any(kind in Error for kind, _ in ProbLexer().get_tokens(text))


def test_pygments_is_told_of_the_lexer() -> None:
    """The entry point leads to it (`.ci/smoke.py` finds it by its name, where probrun is installed)."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (value,) = project["entry-points"]["pygments.lexers"].values()
    assert EntryPoint("prob", value, "pygments.lexers").load() is ProbLexer
    assert "prob" in ProbLexer.aliases and "*.prob" in ProbLexer.filenames


def test_the_extension_is_complete(tmp_path: Path) -> None:
    """Whatever the package names is there, and packed under the names that the manifest gives."""
    package = json.loads((CODE / "package.json").read_text(encoding="utf-8"))
    named = [package["main"], *(entry["path"] for entry in package["contributes"]["grammars"]),
             *(entry["configuration"] for entry in package["contributes"]["languages"]), "LICENSE", "README.md"]
    assert all((CODE / name).is_file() for name in named)
    assert (CODE / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()
    json.loads((CODE / "language-configuration.json").read_text())
    settings = re.findall(r'(?<=registerCommand\(")[\w.]+', (CODE / "extension.js").read_text())
    assert settings == [command["command"] for command in package["contributes"]["commands"]]
    MAKER.pack(tmp_path / "probrun.vsix")
    with zipfile.ZipFile(tmp_path / "probrun.vsix") as archive:
        assert archive.testzip() is None
        packed = set(archive.namelist())
        manifest: Any = ElementTree.fromstring(archive.read("extension.vsixmanifest"))
        ElementTree.fromstring(archive.read("[Content_Types].xml"))
    assets = {asset.get("Path") for asset in manifest.iter("{http://schemas.microsoft.com/developer/vsx-schema/2011}Asset")}
    assert assets <= packed
    assert {f"extension/{name.removeprefix('./')}" for name in named[:-2]} <= packed
