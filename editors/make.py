"""Writes the files of this folder that follow from the language: the TextMate grammar of VS Code, and the syntax of Vim.

`python editors/make.py` writes them, from `grammar/prob.lark` and the tables; a test fails where they are not what it would write.
`python editors/make.py pack FILE.vsix` packs the extension as `vsce package` does, without npm (and without the client library,
unless `npm install` has put it there).
"""

from __future__ import annotations

import json
import re
import sys
import zipfile
from pathlib import Path
from typing import Any

from probrun.dsl.reading.words import terminals, words

FOLDER = Path(__file__).parent
CODE = FOLDER / "vscode"
NOTE = "made by editors/make.py from grammar/prob.lark and dsl/tables"
BEFORE_VALUE = r"(?=[ \t]*(?:[-(.\d]|[^\W\d]))"
NAME = terminals()["NAME"]


def _any(kind: str) -> str:
    return "|".join(words()[kind])


def _rule(scope: str, pattern: str, **groups: str) -> dict[str, Any]:
    """A pattern of one scope (or of none), and those of its groups: `_1="..."`."""
    rule: dict[str, Any] = {"name": f"{scope}.prob"} if scope else {}
    rule["match"] = pattern
    if groups:
        rule["captures"] = {number[1:]: {"name": f"{name}.prob"} for number, name in groups.items()}
    return rule


def textmate() -> dict[str, Any]:
    """The TextMate grammar: the first of the rules that match at the earliest place wins."""
    found = terminals()
    declaring, control = "storage.type", "keyword.control"
    rules = [
        _rule("comment.line.number-sign", found["COMMENT"]),
        _rule("", rf"^[ \t]*(factor)\b{BEFORE_VALUE}", _1=control),
        _rule("", rf"([{{;])[ \t]*(factor)\b{BEFORE_VALUE}", _1="punctuation", _2=control),
        _rule("", r"(\))[ \t]*(via)\b(?=[ \t]+[^\W\d])", _1="punctuation", _2=control),
        _rule(
            "", rf"\b(using)[ \t]+({NAME})(?:[ \t]+(via)\b(?=[ \t]+[^\W\d]))?",
            _1=control, _2="support.type.estimator", _3=control,
        ),
        _rule("", rf"\b(fn)[ \t]+({NAME})", _1=declaring, _2="entity.name.function"),
        _rule("invalid.illegal", found["WRONG"]),
        _rule("constant.numeric", found["NUMBER"]),
        _rule(declaring, rf"\b(?:{_any('declaring')})\b"),
        _rule(control, rf"\b(?:{_any('control')})\b"),
        _rule("keyword.operator.word", rf"\b(?:{_any('operators')})\b"),
        _rule("constant.language", rf"\b(?:{_any('constants')})\b"),
        _rule("support.type.domain", rf"\b(?:{_any('domains')})\b"),
        _rule("support.class.distribution", rf"\b(?:{_any('distributions')})\b(?=[ \t]*\()"),
        _rule("support.function", rf"\b(?:{_any('functions')})\b(?=[ \t]*\()"),
        _rule("entity.name.function.call", rf"{NAME}(?=[ \t]*\()"),
        _rule("variable.other", NAME),
        _rule("keyword.operator", r"\*\*|[<>=!]=|[-+*/%^<>=~]"),
        _rule("punctuation", r"[(){}\[\],:;]"),
        _rule("invalid.illegal", r"[^ \t\f\r\n]"),
    ]
    return {"comment": NOTE, "name": "probrun", "scopeName": "source.prob", "fileTypes": ["prob"], "patterns": rules}


VIM = {  # kind of word -> group, and what it looks like
    "declaring": ("probDeclaration", "StorageClass"), "control": ("probStatement", "Statement"),
    "context": ("probStatement", "Statement"), "operators": ("probOperator", "Operator"),
    "constants": ("probConstant", "Constant"), "domains": ("probDomain", "Type"),
    "distributions": ("probDistribution", "Type"), "functions": ("probFunction", "Function"),
}


def vim() -> str:
    """The syntax file of Vim."""
    lines = [
        f'" Vim syntax file for probrun, {NOTE}.', 'if exists("b:current_syntax")', "  finish", "endif", "",
        "syn case match",
    ]
    lines += [f"syn keyword {group} {' '.join(words()[kind])}" for kind, (group, _) in VIM.items()]
    estimators = r"\|".join(words()["estimators"])
    lines += [
        rf"syn match probEstimator /\<using\s\+\zs\%({estimators}\)\>/",
        r"syn match probNumber /\<\d\+\.\=\d*\%([eE][+-]\=\d\+\)\=\|\.\d\+\%([eE][+-]\=\d\+\)\=/",
        r"syn match probSampled /\~/",
        r"syn match probComment /#.*$/ contains=@Spell", "",
    ]
    links = dict(VIM.values())
    links |= {"probEstimator": "Special", "probNumber": "Number", "probSampled": "Operator", "probComment": "Comment"}
    lines += [f"hi def link {group} {look}" for group, look in links.items()]
    return "\n".join([*lines, "", 'let b:current_syntax = "prob"', ""])


def made() -> dict[Path, str]:
    """Every file that follows from the language, and its text."""
    grammar = json.dumps(textmate(), indent=2, ensure_ascii=False) + "\n"
    return {CODE / "syntaxes" / "prob.tmLanguage.json": grammar, FOLDER / "vim" / "syntax" / "prob.vim": vim()}


# ---------------------------------------------------------------------------------------------------- packing
TYPES = {
    "json": "application/json", "js": "application/javascript", "md": "text/markdown", "txt": "text/plain",
    "vsixmanifest": "text/xml",
}


def _manifest(package: dict[str, Any]) -> str:
    return f"""<?xml version="1.0" encoding="utf-8"?>
<PackageManifest Version="2.0.0" xmlns="http://schemas.microsoft.com/developer/vsx-schema/2011">
  <Metadata>
    <Identity Language="en-US" Id="{package['name']}" Version="{package['version']}" Publisher="{package['publisher']}"/>
    <DisplayName>{package['displayName']}</DisplayName>
    <Description xml:space="preserve">{package['description']}</Description>
    <Categories>{','.join(package['categories'])}</Categories>
    <Properties>
      <Property Id="Microsoft.VisualStudio.Code.Engine" Value="{package['engines']['vscode']}"/>
    </Properties>
  </Metadata>
  <Installation><InstallationTarget Id="Microsoft.VisualStudio.Code"/></Installation>
  <Dependencies/>
  <Assets>
    <Asset Type="Microsoft.VisualStudio.Code.Manifest" Path="extension/package.json" Addressable="true"/>
    <Asset Type="Microsoft.VisualStudio.Services.Content.Details" Path="extension/readme.md" Addressable="true"/>
    <Asset Type="Microsoft.VisualStudio.Services.Content.License" Path="extension/LICENSE.txt" Addressable="true"/>
  </Assets>
</PackageManifest>
"""


def contents() -> dict[str, bytes]:
    """The files of the packed extension, by the names that `vsce package` gives them."""
    package = json.loads((CODE / "package.json").read_text(encoding="utf-8"))
    ignored = {line for line in (CODE / ".vscodeignore").read_text().split() if line}
    names = {"README.md": "readme.md", "LICENSE": "LICENSE.txt"}
    types = "".join(f'<Default Extension=".{ending}" ContentType="{kind}"/>' for ending, kind in TYPES.items())
    schema = "http://schemas.openxmlformats.org/package/2006/content-types"
    found = {
        "extension.vsixmanifest": _manifest(package).encode(),
        "[Content_Types].xml": f'<?xml version="1.0" encoding="utf-8"?>\n<Types xmlns="{schema}">{types}</Types>\n'.encode(),
    }
    for path in sorted(CODE.rglob("*")):
        name = path.relative_to(CODE).as_posix()
        if path.is_file() and name not in ignored and not re.search(r"\.(vsix|map|d\.ts)$|^node_modules/\.", name):
            found[f"extension/{names.get(name, name)}"] = path.read_bytes()
    return found


def pack(target: Path) -> None:
    """Write the packed extension."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in contents().items():
            archive.writestr(zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0)), content)


if __name__ == "__main__":
    if sys.argv[1:2] == ["pack"]:
        pack(Path(sys.argv[2]))
    else:
        for path, text in made().items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
