"""The language server on standard input and output, by pygls.

    the editor                          here
    opens, changes, saves a file        checked a moment later (`DELAY_S`), what was found is published
    asks for completion, hover ...      answered from the text as it is now (features.py)

A file that an open script includes is checked by way of that script: alone, its variables would seem never set.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lsprotocol import types
from pygls import uris
from pygls.lsp.server import LanguageServer
from pygls.workspace import TextDocument

from .. import __version__
from ..api import CheckOptions, check_with
from ..base.errors import BpscriptError
from ..commands import COMMANDS
from ..language.check.codes import Severity
from ..language.check.findings import Finding, Report
from ..language.format import format_script
from .features import Page, completions, definition, hover

DELAY_S = 0.2       # of silence before a text is checked

_KINDS = {
    "command": types.CompletionItemKind.Function, "variable": types.CompletionItemKind.Variable, "label": types.CompletionItemKind.Reference,
    "keyword": types.CompletionItemKind.Keyword, "type": types.CompletionItemKind.EnumMember, "value": types.CompletionItemKind.Value,
    "file": types.CompletionItemKind.File,
}  # fmt: skip
_SYMBOLS = {"label": types.SymbolKind.Key, "variable": types.SymbolKind.Variable, "file": types.SymbolKind.File}


@dataclass(slots=True, eq=False)
class Settings:
    """What the command line says of the world: see `bpscript check`."""

    root: Path | None = None
    disks: Sequence[int] = ()


@dataclass(slots=True, eq=False)
class _Checks:
    """Checks that wait or are done, by the uri of the script."""

    waiting: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    includes: dict[str, frozenset[Path]] = field(default_factory=dict)


def make_server(settings: Settings) -> LanguageServer:
    """The server, ready to start."""
    server = LanguageServer("bpscript", __version__)
    state = _Checks()

    def page_of(uri: str) -> Page:
        path = _path(uri)
        return Page(server.workspace.get_text_document(uri).source, path, settings.root or path.parent)

    async def check_later(uri: str, delay: float = DELAY_S) -> None:
        waiting = state.waiting.pop(uri, None)
        if waiting is not None:
            waiting.cancel()
        state.waiting[uri] = asyncio.ensure_future(_check_soon(server, settings, state, uri, delay))

    @server.feature(types.TEXT_DOCUMENT_DID_OPEN)
    async def did_open(params: types.DidOpenTextDocumentParams) -> None:
        await check_later(params.text_document.uri, 0)

    @server.feature(types.TEXT_DOCUMENT_DID_CHANGE)
    async def did_change(params: types.DidChangeTextDocumentParams) -> None:
        await check_later(params.text_document.uri)

    @server.feature(types.TEXT_DOCUMENT_DID_SAVE)
    async def did_save(params: types.DidSaveTextDocumentParams) -> None:
        for uri in list(server.workspace.text_documents):       # others may include it
            await check_later(uri, 0)

    @server.feature(types.TEXT_DOCUMENT_DID_CLOSE)
    async def did_close(params: types.DidCloseTextDocumentParams) -> None:
        uri = params.text_document.uri
        waiting = state.waiting.pop(uri, None)
        if waiting is not None:
            waiting.cancel()
        state.includes.pop(uri, None)
        server.text_document_publish_diagnostics(types.PublishDiagnosticsParams(uri=uri, diagnostics=[]))

    @server.feature(types.TEXT_DOCUMENT_COMPLETION, types.CompletionOptions(trigger_characters=["$", "{", '"', " "]))
    def completion(params: types.CompletionParams) -> types.CompletionList:
        uri = params.text_document.uri
        document = server.workspace.get_text_document(uri)
        page = page_of(uri)
        line = page.line(params.position.line)
        column = _from_client(document, line, params.position.character)
        here = types.Position(params.position.line, params.position.character)
        items = [
            types.CompletionItem(
                label=each.text, kind=_KINDS[each.kind], detail=each.about or None, filter_text=each.text,
                text_edit=types.TextEdit(types.Range(_to_client(document, line, params.position.line, each.start), here), each.text),
            )
            for each in completions(page, params.position.line, column)
        ]  # fmt: skip
        return types.CompletionList(is_incomplete=False, items=items)

    @server.feature(types.TEXT_DOCUMENT_HOVER)
    def on_hover(params: types.HoverParams) -> types.Hover | None:
        uri = params.text_document.uri
        page = page_of(uri)
        line = page.line(params.position.line)
        found = hover(page, params.position.line, _from_client(server.workspace.get_text_document(uri), line, params.position.character))
        return None if found is None else types.Hover(types.MarkupContent(types.MarkupKind.Markdown, found))

    @server.feature(types.TEXT_DOCUMENT_DEFINITION)
    def on_definition(params: types.DefinitionParams) -> types.Location | None:
        uri = params.text_document.uri
        document = server.workspace.get_text_document(uri)
        page = page_of(uri)
        column = _from_client(document, page.line(params.position.line), params.position.character)
        target = definition(page, params.position.line, column)
        if target is None:
            return None
        if target.path is not None:
            place = types.Range(types.Position(0, 0), types.Position(0, 0))
            return types.Location(uris.from_fs_path(str(target.path.absolute())) or uri, place)
        return types.Location(uri, _range(document, page.line(target.line), target.line, target.column, target.width))

    @server.feature(types.TEXT_DOCUMENT_FORMATTING)
    def formatting(params: types.DocumentFormattingParams) -> list[types.TextEdit]:
        uri = params.text_document.uri
        text = server.workspace.get_text_document(uri).source
        formatted = format_script(text, COMMANDS)
        if formatted == text:
            return []
        whole = types.Range(types.Position(0, 0), types.Position(len(page_of(uri).lines), 0))
        return [types.TextEdit(whole, formatted)]

    @server.feature(types.TEXT_DOCUMENT_DOCUMENT_SYMBOL)
    def document_symbols(params: types.DocumentSymbolParams) -> list[types.DocumentSymbol]:
        uri = params.text_document.uri
        document = server.workspace.get_text_document(uri)
        page = page_of(uri)
        found = []
        seen: set[tuple[str, str]] = set()
        for each in page.symbols():
            key = each.kind, each.name.lower()
            if each.kind in _SYMBOLS and key not in seen and each.name.strip():
                seen.add(key)
                place = _range(document, page.line(each.line - 1), each.line - 1, each.column - 1, each.width)
                found.append(types.DocumentSymbol(each.name, _SYMBOLS[each.kind], place, place, detail=each.kind))
        return found

    return server


async def _check_soon(server: LanguageServer, settings: Settings, state: _Checks, uri: str, delay: float) -> None:
    """Check a script when nothing more was typed for a moment, and publish what was found."""
    await asyncio.sleep(delay)
    documents = server.workspace.text_documents
    if uri not in documents:
        return
    path = _path(uri)
    if any(path in included for other, included in state.includes.items() if other != uri and other in documents):
        # It is part of another script that is open: that one is checked, with this text in it.
        uri = next(other for other, included in state.includes.items() if path in included and other != uri)
        path = _path(uri)
    texts = {_path(each): document.source.encode("utf-8", "surrogatepass") for each, document in documents.items()}
    options = CheckOptions(root=settings.root, disks=settings.disks, texts=texts)
    try:
        report = await asyncio.to_thread(check_with, path, options)
    except BpscriptError:
        report = Report(())
    files = {Path(name).resolve() for name in report.files}
    state.includes[uri] = frozenset(files - {path})
    state.waiting.pop(uri, None)
    for each, document in list(server.workspace.text_documents.items()):
        if _path(each) in files or each == uri:
            found = [_diagnostic(document, finding) for finding in report.findings if Path(finding.file).resolve() == _path(each)]
            params = types.PublishDiagnosticsParams(uri=each, diagnostics=found, version=document.version)
            server.text_document_publish_diagnostics(params)


def _diagnostic(document: TextDocument, finding: Finding) -> types.Diagnostic:
    severity = types.DiagnosticSeverity.Error if finding.severity is Severity.ERROR else types.DiagnosticSeverity.Warning
    message = finding.message if finding.hint is None else f"{finding.message}\n{finding.hint}"
    place = _range(document, finding.source, finding.line - 1, finding.column - 1, finding.width)
    unused = [types.DiagnosticTag.Unnecessary] if finding.code == "BP203" else None
    return types.Diagnostic(place, message, severity=severity, code=finding.code, source="bpscript", tags=unused)


def _path(uri: str) -> Path:
    return Path(uris.to_fs_path(uri) or "untitled.bpb").resolve()


# The protocol counts in code units of the encoding that was agreed on, we count characters.


def _from_client(document: TextDocument, line: str, character: int) -> int:
    count = 0
    for index, c in enumerate(line):
        if count >= character:
            return index
        count += document.position_codec.client_num_units(c)
    return len(line)


def _to_client(document: TextDocument, line: str, number: int, column: int) -> types.Position:
    beyond = max(0, column - len(line))
    return types.Position(number, document.position_codec.client_num_units(line[:column]) + beyond)


def _range(document: TextDocument, line: str, number: int, column: int, width: int) -> types.Range:
    return types.Range(_to_client(document, line, number, column), _to_client(document, line, number, column + max(1, width)))
