"""Completion in shells: the scripts, and what they ask."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

from probrun import cli


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_scripts(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.execute(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert "_PROBRUN_COMPLETE" in script and "probrun" in script
    if shutil.which(shell):
        assert subprocess.run([shell, "-n"], input=script, text=True, timeout=60, check=False).returncode == 0


@pytest.mark.parametrize(("typed", "offered"), [
    ("gr", {"plain,grad"}), ("lsp --s", {"plain,--stdio"}), ("help Norm", {"plain,Normal"}), ("help observ", {"plain,observe"}),
    ("grad --verif", {"plain,--verify"}), ("check exa", {"file,exa"}), ("explain exa", {"file,exa"}), ("completion f", {"plain,fish"}),
])
def test_what_is_offered(typed: str, offered: set[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    words = f"probrun {typed}"
    for name, value in (("_PROBRUN_COMPLETE", "bash_complete"), ("COMP_WORDS", words), ("COMP_CWORD", str(words.count(" ")))):
        monkeypatch.setenv(name, value)
    assert cli.execute([]) == 0
    assert set(capsys.readouterr().out.split()) == offered


def test_nothing_of_the_language_server_is_loaded() -> None:
    code = "import sys; from probrun.cli import main; main(['completion', 'bash']); sys.exit('lsprotocol' in sys.modules or 'torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL, timeout=120, check=False).returncode == 0
