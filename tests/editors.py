"""A client of the language server, for tests: messages over the standard streams of a real process."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

SERVE = """
import pathlib, sys
from probrun.cli import main
try:
    status = main(["lsp"])
finally:
    pathlib.Path(sys.argv[1]).write_text(" ".join(sorted({name.split(".")[0] for name in sys.modules})))
sys.exit(status)
"""
URI = "file:///work/a.prob"
PATIENCE = 60.0


class Client:
    """Starts `probrun lsp`, and speaks to it as an editor does."""

    def __init__(self, folder: Path, encodings: list[str] | None = None) -> None:
        self.loaded = folder / "loaded.txt"
        self.errors = (folder / "stderr.txt").open("w+b")
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVE, str(self.loaded)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        self.inbox: queue.Queue[dict[str, Any]] = queue.Queue()
        self.problems: dict[str, list[tuple[int | None, list[Any]]]] = {}
        self.asked: list[str] = []  # by the server
        self.number = 0
        threading.Thread(target=self._listen, daemon=True).start()
        general = {} if encodings is None else {"positionEncodings": encodings}
        refreshing = {"inlayHint": {"refreshSupport": True}}
        self.capabilities = self.request(
            "initialize", processId=None, rootUri=None, capabilities={"general": general, "workspace": refreshing},
        )["capabilities"]
        self.notify("initialized")

    def _listen(self) -> None:
        stream = self.process.stdout
        assert stream is not None
        while header := stream.readline():
            length = int(header.split(b":")[1])
            while stream.readline().strip():
                pass
            self.inbox.put(json.loads(stream.read(length)))

    def send(self, message: dict[str, Any]) -> None:
        """One message, as it is."""
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        stream = self.process.stdin
        assert stream is not None
        stream.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        stream.flush()

    def notify(self, method: str, **params: Any) -> None:
        """Say something."""
        self.send({"method": method, "params": params})

    def _take(self, until: float) -> dict[str, Any]:
        """The next message; problems that are published are written down."""
        message = self.inbox.get(timeout=max(0.01, until - time.monotonic()))
        if message.get("method") == "textDocument/publishDiagnostics":
            params = message["params"]
            self.problems.setdefault(params["uri"], []).append((params.get("version"), params["diagnostics"]))
        elif "method" in message and "id" in message:
            self.asked.append(message["method"])
            self.send({"id": message["id"], "result": None})
        return message

    def answer(self, method: str, **params: Any) -> dict[str, Any]:
        """The whole answer to a question, errors included."""
        self.number += 1
        self.send({"id": self.number, "method": method, "params": params})
        until = time.monotonic() + PATIENCE
        while True:
            message = self._take(until)
            if message.get("id") == self.number and "method" not in message:
                return message

    def request(self, method: str, **params: Any) -> Any:
        """The result of a question."""
        answer = self.answer(method, **params)
        assert "error" not in answer, answer
        return answer["result"]

    def wait(self, version: int, uri: str = URI, patience: float = PATIENCE) -> list[Any]:
        """The first problems that are published of a version."""
        until = time.monotonic() + patience
        while True:
            for known, problems in self.problems.get(uri, []):
                if known == version:
                    return problems
            self._take(until)

    def settled(self, version: int, uri: str = URI) -> list[Any]:
        """The problems of a version when everything has been looked at (of a text without mistakes: the second ones)."""
        first = self.wait(version, uri)
        if any(problem["code"] < "P04" for problem in first):
            return first
        until = time.monotonic() + PATIENCE
        while sum(known == version for known, _ in self.problems[uri]) < 2:
            self._take(until)
        return self.problems[uri][-1][1]

    def open(self, text: str, uri: str = URI, version: int = 1) -> None:
        """Open a file."""
        self.notify("textDocument/didOpen", textDocument={"uri": uri, "languageId": "prob", "version": version, "text": text})

    def change(self, text: str, version: int, uri: str = URI) -> None:
        """Give it another text."""
        self.notify("textDocument/didChange", textDocument={"uri": uri, "version": version}, contentChanges=[{"text": text}])

    def at(self, method: str, line: int, character: int, uri: str = URI, **more: Any) -> Any:
        """Ask about a place, both numbers from 0."""
        position = {"line": line, "character": character}
        return self.request(f"textDocument/{method}", textDocument={"uri": uri}, position=position, **more)

    def about(self, method: str, uri: str = URI, **more: Any) -> Any:
        """Ask about a file."""
        return self.request(f"textDocument/{method}", textDocument={"uri": uri}, **more)

    def stop(self) -> int:
        """Say goodbye; gives the exit status."""
        self.request("shutdown")
        self.send({"method": "exit"})
        return self.process.wait(PATIENCE)

    def kill(self) -> None:
        """The end, whatever happened."""
        self.process.kill()
        self.process.wait()
        self.errors.close()
