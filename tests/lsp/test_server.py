"""The language server, asked by a real client over standard input and output."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from lsprotocol import types
from pygls.lsp.client import LanguageClient

PATIENCE_S = 60     # other tests run at the same time


class Editor:
    """A client with one folder, which remembers what the server found."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.client = LanguageClient("editor", "1")
        self.found: dict[str, list[types.Diagnostic]] = {}
        self.news = asyncio.Event()
        self.fresh: set[str] = set()        # published since something was opened or changed
        self.published = 0
        self.versions: dict[str, int] = {}

        @self.client.feature(types.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS)  # type: ignore[untyped-decorator]  # of the client, not of the server
        def publish(params: types.PublishDiagnosticsParams) -> None:
            self.found[params.uri] = list(params.diagnostics)
            self.published += 1
            self.fresh.add(params.uri)
            self.news.set()

    async def start(self, *options: str) -> types.InitializeResult:
        await self.client.start_io(sys.executable, "-m", "bpscript", "lsp", *options)
        result = await self.client.initialize_async(
            types.InitializeParams(capabilities=types.ClientCapabilities(), root_uri=self.folder.as_uri())
        )
        self.client.initialized(types.InitializedParams())
        return result

    async def stop(self) -> int:
        await self.client.shutdown_async(None)
        self.client.exit(None)
        server = self.client._server
        assert server is not None
        return await asyncio.wait_for(server.wait(), PATIENCE_S)

    def uri(self, name: str) -> str:
        return (self.folder / name).as_uri()

    def open(self, name: str, text: str) -> str:
        uri = self.uri(name)
        self.versions[uri] = 1
        self.news.clear()
        self.fresh.clear()
        self.client.text_document_did_open(types.DidOpenTextDocumentParams(types.TextDocumentItem(uri, "bpscript", 1, text)))
        return uri

    def change(self, uri: str, text: str) -> None:
        self.versions[uri] += 1
        self.news.clear()
        self.fresh.clear()
        self.client.text_document_did_change(
            types.DidChangeTextDocumentParams(
                types.VersionedTextDocumentIdentifier(self.versions[uri], uri), [types.TextDocumentContentChangeWholeDocument(text)]
            )
        )

    async def findings(self, uri: str) -> list[tuple[str, int, int, int]]:
        """Codes with line and columns (from 0), when the server has published the next time."""
        while uri not in self.fresh:        # another file may be published first
            await asyncio.wait_for(self.news.wait(), PATIENCE_S)
            self.news.clear()
        return [(str(each.code), each.range.start.line, each.range.start.character, each.range.end.character) for each in self.found[uri]]


def session(folder: Path, work: Callable[[Editor], Awaitable[None]], *options: str) -> None:
    """Start a server, do something with it, and see it end properly."""

    async def run() -> None:
        editor = Editor(folder)
        await editor.start(*options)
        await work(editor)
        assert await editor.stop() == 0

    asyncio.run(asyncio.wait_for(run(), 4 * PATIENCE_S))


def at(uri: str, line: int, character: int) -> types.TextDocumentPositionParams:
    return types.TextDocumentPositionParams(types.TextDocumentIdentifier(uri), types.Position(line, character))


def test_mistakes_show_as_one_types(tmp_path: Path) -> None:
    async def work(editor: Editor) -> None:
        uri = editor.open("a.bpb", 'Echo "x"\nEcko "x"\n')
        assert await editor.findings(uri) == [("BP102", 1, 0, 4)]
        assert "did you mean Echo?" in editor.found[uri][0].message
        editor.change(uri, 'Echo "x"\nEcho "x"\nGoto nowhere\n')
        assert await editor.findings(uri) == [("BP201", 2, 5, 12)]
        before = editor.published
        for text in ("E", "Ec", "Ech", "Echo"):       # faster than it is checked: one answer for all
            editor.change(uri, text)
        assert await editor.findings(uri) == []
        await asyncio.sleep(0.5)
        assert editor.published == before + 1
        editor.client.text_document_did_close(types.DidCloseTextDocumentParams(types.TextDocumentIdentifier(uri)))

    session(tmp_path, work)


def test_columns_count_in_the_units_of_the_client(tmp_path: Path) -> None:
    async def work(editor: Editor) -> None:
        uri = editor.open("a.bpb", 'Echo "\U0001f600$never"\n')
        assert await editor.findings(uri) == [("BP301", 0, 8, 14)]      # an emoji is two units of UTF-16

    session(tmp_path, work)


def test_root_and_disks_are_those_of_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "there.txt").touch()

    async def work(editor: Editor) -> None:
        uri = editor.open("a.bpb", 'LogFile "there.txt"\nLogFile "not.txt"\nSetPartitions "FAT32:500"\n')
        assert await editor.findings(uri) == [("BP501", 1, 8, 17), ("BP402", 2, 15, 24)]

    session(tmp_path, work, "--root", str(tmp_path / "images"), "--disk", "100M")


def test_an_included_file_is_checked_by_way_of_the_script_that_is_open(tmp_path: Path) -> None:
    (tmp_path / "inner.bpb").write_text('Echo "$site"\n')

    async def work(editor: Editor) -> None:
        outer = editor.open("outer.bpb", 'Set site = "lab"\nInclude "inner.bpb"\n')
        assert await editor.findings(outer) == []
        inner = editor.open("inner.bpb", 'Echo "$site"\nEcko\n')
        assert await editor.findings(inner) == [("BP102", 1, 0, 4)]       # as it is in the editor, not as it was saved

    session(tmp_path, work)


def test_completion_replaces_what_was_begun(tmp_path: Path) -> None:
    async def work(editor: Editor) -> None:
        uri = editor.open("a.bpb", 'Set colour = "red"\n:install\nIf "$col" == "" Goto ins\nFullU')

        async def items(line: int, character: int) -> list[types.CompletionItem]:
            place = at(uri, line, character)
            found = await editor.client.text_document_completion_async(types.CompletionParams(place.text_document, place.position))
            assert isinstance(found, types.CompletionList)
            return list(found.items)

        (variable,) = await items(2, 8)
        assert isinstance(variable.text_edit, types.TextEdit)
        assert (variable.label, variable.text_edit.range.start.character) == ("colour", 5)
        assert [each.label for each in await items(2, 24)] == ["install"]
        (command,) = await items(3, 5)
        assert command.label == "FullUnzip"
        assert command.detail is not None
        assert "Replace everything" in command.detail

    session(tmp_path, work)


def test_hover_tells_what_a_word_means(tmp_path: Path) -> None:
    async def work(editor: Editor) -> None:
        uri = editor.open("a.bpb", 'Set n = 1\nEcho "$Disks $n $BOOTP-Host-Name"\nSetPartitions "FAT32:5"\n# check: ignore BP301\n')

        async def text(line: int, character: int) -> str:
            place = at(uri, line, character)
            found = await editor.client.text_document_hover_async(types.HoverParams(place.text_document, place.position))
            assert found is not None
            assert isinstance(found.contents, types.MarkupContent)
            return found.contents.value

        assert "sizes of all disks in MB" in await text(1, 8)
        assert "is set in line 1" in await text(1, 14)
        assert "option 12" in await text(1, 20)
        assert 'SetPartitions "list" [disk]' in await text(2, 3)
        assert "byte 11" in await text(2, 16)
        assert "never set" in await text(3, 17)

    session(tmp_path, work)


def test_go_to_label_variable_and_included_file(tmp_path: Path) -> None:
    (tmp_path / "site.bpb").write_text("Beep\n")

    async def work(editor: Editor) -> None:
        uri = editor.open("a.bpb", 'Goto  My Label\nSet n = 1\n:my label\nEcho "$n"\nInclude "site.bpb"\nInclude "none.bpb"\n')

        async def place(line: int, character: int) -> tuple[str, int] | None:
            here = at(uri, line, character)
            found = await editor.client.text_document_definition_async(types.DefinitionParams(here.text_document, here.position))
            if found is None:
                return None
            assert isinstance(found, types.Location)
            return found.uri, found.range.start.line

        assert await place(0, 8) == (uri, 2)
        assert await place(3, 7) == (uri, 1)
        assert await place(4, 12) == (editor.uri("site.bpb"), 0)
        assert await place(5, 12) is None
        assert await place(1, 0) is None

    session(tmp_path, work)


def test_formatting_and_symbols(tmp_path: Path) -> None:
    async def work(editor: Editor) -> None:
        uri = editor.open("a.bpb", '  set n=1\n:Top\necho"$n"\ninclude "x.bpb"\n')
        document = types.TextDocumentIdentifier(uri)
        options = types.FormattingOptions(4, True)
        edits = await editor.client.text_document_formatting_async(types.DocumentFormattingParams(document, options))
        assert edits is not None
        assert [each.new_text for each in edits] == ['Set n = 1\n:Top\nEcho "$n"\nInclude "x.bpb"\n']
        symbols = await editor.client.text_document_document_symbol_async(types.DocumentSymbolParams(document))
        assert symbols is not None
        assert [(each.name, each.kind) for each in symbols] == [
            ("n", types.SymbolKind.Variable), ("Top", types.SymbolKind.Key), ("x.bpb", types.SymbolKind.File),
        ]  # fmt: skip
        editor.change(uri, "Beep\n")
        assert not await editor.client.text_document_formatting_async(types.DocumentFormattingParams(document, options))

    session(tmp_path, work)


ODD = ("\0\0", "\x1a", '"' * 500, "$" * 500, "${" * 100, "(" * 3000, "\ufffd", "If " * 400, "\r\r\n\n", "\u2028:x", "\ufeffEcho")


def test_odd_texts_are_answered(tmp_path: Path) -> None:
    async def work(editor: Editor) -> None:
        for number, text in enumerate(ODD):
            uri = editor.open(f"{number}.bpb", text)
            await editor.findings(uri)
            here = at(uri, 0, 1)
            await editor.client.text_document_completion_async(types.CompletionParams(here.text_document, here.position))
            await editor.client.text_document_hover_async(types.HoverParams(here.text_document, here.position))
            await editor.client.text_document_definition_async(types.DefinitionParams(here.text_document, here.position))
            await editor.client.text_document_document_symbol_async(types.DocumentSymbolParams(here.text_document))

    session(tmp_path, work)
