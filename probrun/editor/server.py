"""`probrun lsp`: the language server, over standard input and output (Language Server Protocol 3.17).

Everything is done in one thread, a message at a time.  A change is read when nothing more has been typed for `PAUSE` seconds: first
the text, whose problems are shown at once, then, if there are none and no further message waits, the plan.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from lsprotocol import types
from pygls.exceptions import JsonRpcException
from pygls.lsp.server import LanguageServer

from . import answers, completing, hovering
from .asking import Explain, Page
from .document import Document
from .positions import UNITS, Positions

PAUSE = 0.05  # seconds without a change, after which the text is read
THEN = 0.01  # seconds for messages that wait, before the plan is made
RENAME = types.RenameOptions(prepare_provider=True)
FIXES = types.CodeActionOptions(code_action_kinds=[types.CodeActionKind.QuickFix])
COMPLETION = types.CompletionOptions(trigger_characters=["~", "(", " "], resolve_provider=True)


class Refused(JsonRpcException):
    """An answer that is no, with the reason: nothing to write into a log."""

    def __init__(self, why: str) -> None:
        super().__init__(why, code=types.LSPErrorCodes.RequestFailed.value)


class EditorServer(LanguageServer):
    """A server that says no only once."""

    def report_server_error(self, error: Exception, source: Any) -> None:
        """Show an error of ours; a refusal is an answer, and shown as one."""
        if not isinstance(error, Refused):
            super().report_server_error(error, source)


class Served:
    """The open documents, by their addresses, and what is to be done for each."""

    def __init__(self, server: LanguageServer, explain: Explain, page: Page) -> None:
        self.server = server
        self.explain = explain
        self.page = page
        self.documents: dict[str, Document] = {}
        self._waiting: dict[str, asyncio.TimerHandle] = {}

    # --------------------------------------------------------------------------------------------- documents
    def open(self, params: types.DidOpenTextDocumentParams) -> None:
        """A file is opened."""
        item = params.text_document
        units = UNITS[self.server.workspace.position_encoding or types.PositionEncodingKind.Utf16]
        self.documents[item.uri] = Document(item.uri, item.text, item.version, units)
        self._later(item.uri, 0)

    def change(self, params: types.DidChangeTextDocumentParams) -> None:
        """What is typed.  A message that is older than the text is left out."""
        uri, version = params.text_document.uri, params.text_document.version
        document = self.documents.get(uri)
        if document is None or (document.version is not None and version is not None and version < document.version):
            return
        text = document.text
        for event in params.content_changes:
            if isinstance(event, types.TextDocumentContentChangePartial):
                span = Positions(text, document.units).span(event.range)
                text = text[: span.start] + event.text + text[span.end :]
            else:
                text = event.text
        document.change(text, version)
        self._later(uri, PAUSE)

    def close(self, params: types.DidCloseTextDocumentParams) -> None:
        """A file is closed: it has no problems any more."""
        uri = params.text_document.uri
        self._cancel(uri)
        if self.documents.pop(uri, None) is not None:
            self.server.text_document_publish_diagnostics(types.PublishDiagnosticsParams(uri, []))

    def _cancel(self, uri: str) -> None:
        waiting = self._waiting.pop(uri, None)
        if waiting is not None:
            waiting.cancel()

    def _later(self, uri: str, seconds: float, step: Callable[[str], None] | None = None) -> None:
        self._cancel(uri)
        self._waiting[uri] = asyncio.get_running_loop().call_later(seconds, step or self._read, uri)

    def _read(self, uri: str) -> None:
        self._publish(uri)
        if self.documents[uri].look.resolved is not None:
            self._later(uri, THEN, self._plan)

    def _plan(self, uri: str) -> None:
        document = self.documents[uri]
        document.plan(self.explain)
        self._publish(uri)
        capabilities = self.server.client_capabilities.workspace
        if capabilities is not None and capabilities.inlay_hint is not None and capabilities.inlay_hint.refresh_support:
            self.server.workspace_inlay_hint_refresh(None)

    def _publish(self, uri: str) -> None:
        document = self.documents[uri]
        problems = [answers.problem(found, document.look, uri) for found in document.diagnostics]
        self.server.text_document_publish_diagnostics(types.PublishDiagnosticsParams(uri, problems, document.version))

    # ---------------------------------------------------------------------------------------------- requests
    def hover(self, params: types.HoverParams) -> types.Hover | None:
        """What is under the pointer."""
        document = self._planned(params.text_document.uri)
        return None if document is None else hovering.hover(document, params.position, self.page)

    def inlay_hints(self, params: types.InlayHintParams) -> list[types.InlayHint]:
        """The estimators of the sites."""
        document = self._planned(params.text_document.uri)
        return [] if document is None else hovering.inlay_hints(document, params.range)

    def _planned(self, uri: str) -> Document | None:
        """A document; planned now where it never was (later it is planned when nobody types)."""
        document = self.documents.get(uri)
        if document is not None and document.fresh:
            document.plan(self.explain)
        return document

    def complete(self, params: types.CompletionParams) -> types.CompletionList:
        """What may be typed."""
        document = self.documents.get(params.text_document.uri)
        items = [] if document is None else completing.complete(document, params.position)
        return types.CompletionList(False, items)

    def resolve(self, item: types.CompletionItem) -> types.CompletionItem:
        """The page of one of them."""
        page = self.page(item.data) if isinstance(item.data, str) else None
        if page is not None:
            item.documentation = types.MarkupContent(types.MarkupKind.Markdown, f"```text\n{page}\n```")
        return item

    def formatting(self, params: types.DocumentFormattingParams) -> list[types.TextEdit]:
        """As `probrun fmt`."""
        document = self.documents.get(params.text_document.uri)
        return [] if document is None else answers.formatting(document)

    def definition(self, params: types.DefinitionParams) -> types.Location | None:
        """Where a name comes from."""
        document = self.documents.get(params.text_document.uri)
        return None if document is None else answers.definition(document, params.position)

    def references(self, params: types.ReferenceParams) -> list[types.Location]:
        """Where a name occurs."""
        document = self.documents.get(params.text_document.uri)
        declared = params.context.include_declaration
        return [] if document is None else answers.references(document, params.position, declared)

    def prepare_rename(self, params: types.PrepareRenameParams) -> types.Range | None:
        """The name that would be changed."""
        document = self.documents.get(params.text_document.uri)
        named = None if document is None else answers.named_at(document, params.position)
        return None if document is None or named is None else document.look.places.range(named[1].span)

    def rename(self, params: types.RenameParams) -> types.WorkspaceEdit | None:
        """Another name, in all its places."""
        document = self.documents.get(params.text_document.uri)
        try:
            return None if document is None else answers.rename(document, params.position, params.new_name)
        except answers.CannotRename as error:
            raise Refused(str(error)) from None

    def actions(self, params: types.CodeActionParams) -> list[types.CodeAction]:
        """What the helps say to write."""
        document = self.documents.get(params.text_document.uri)
        return [] if document is None else answers.actions(document, params.range)

    def symbols(self, params: types.DocumentSymbolParams) -> list[types.DocumentSymbol]:
        """The outline."""
        document = self.documents.get(params.text_document.uri)
        return [] if document is None else answers.outline_of(document)


def make_server(version: str, explain: Explain, page: Page) -> LanguageServer:
    """The server: `explain` gives the choice at every site of a resolved program, `page` the help on a topic."""
    logging.getLogger("pygls.protocol.json_rpc").addFilter(
        lambda record: not (record.exc_info and isinstance(record.exc_info[1], Refused))
    )
    server = EditorServer("probrun", version, text_document_sync_kind=types.TextDocumentSyncKind.Full)
    served = Served(server, explain, page)
    for method, answer, options in (
        (types.TEXT_DOCUMENT_DID_OPEN, served.open, None), (types.TEXT_DOCUMENT_DID_CHANGE, served.change, None),
        (types.TEXT_DOCUMENT_DID_CLOSE, served.close, None), (types.TEXT_DOCUMENT_HOVER, served.hover, None),
        (types.TEXT_DOCUMENT_INLAY_HINT, served.inlay_hints, None),
        (types.TEXT_DOCUMENT_COMPLETION, served.complete, COMPLETION), (types.COMPLETION_ITEM_RESOLVE, served.resolve, None),
        (types.TEXT_DOCUMENT_FORMATTING, served.formatting, None), (types.TEXT_DOCUMENT_DEFINITION, served.definition, None),
        (types.TEXT_DOCUMENT_REFERENCES, served.references, None),
        (types.TEXT_DOCUMENT_PREPARE_RENAME, served.prepare_rename, None), (types.TEXT_DOCUMENT_RENAME, served.rename, RENAME),
        (types.TEXT_DOCUMENT_CODE_ACTION, served.actions, FIXES), (types.TEXT_DOCUMENT_DOCUMENT_SYMBOL, served.symbols, None),
    ):
        server.feature(method, options)(_function(answer))
    return server


def _function(method: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A method as a plain function, which pygls writes on."""

    def answer(params: Any) -> Any:
        return method(params)

    return answer
