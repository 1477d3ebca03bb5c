// `bpscript lsp` as Visual Studio Code talks to it: by the protocol library that its client is built on. BPSCRIPT names the program.

const { test } = require("node:test");
const assert = require("node:assert");
const { spawn } = require("node:child_process");
const { once } = require("node:events");
const { mkdtempSync, writeFileSync } = require("node:fs");
const { tmpdir } = require("node:os");
const { join } = require("node:path");
const { pathToFileURL } = require("node:url");
const { StreamMessageReader, StreamMessageWriter, createProtocolConnection } = require("vscode-languageserver-protocol/node");

const PROGRAM = (process.env.BPSCRIPT ?? "bpscript").split(" ");

test("findings, completion, hover, definition, formatting, symbols", { timeout: 60_000 }, async () => {
  const folder = mkdtempSync(join(tmpdir(), "bpscript-"));
  writeFileSync(join(folder, "site.bpb"), "Beep\n");
  const server = spawn(PROGRAM[0], [...PROGRAM.slice(1), "lsp"], { cwd: folder, stdio: ["pipe", "pipe", "inherit"] });
  const ended = once(server, "exit");
  const connection = createProtocolConnection(new StreamMessageReader(server.stdout), new StreamMessageWriter(server.stdin));
  const published = new Promise((resolve) => connection.onNotification("textDocument/publishDiagnostics", resolve));
  connection.listen();
  const rootUri = pathToFileURL(folder).href;
  const { capabilities } = await connection.sendRequest("initialize", {
    processId: process.pid, rootUri, workspaceFolders: [{ uri: rootUri, name: "scripts" }],
    capabilities: { general: { positionEncodings: ["utf-16"] }, textDocument: { publishDiagnostics: {}, completion: {}, hover: { contentFormat: ["markdown"] } } },
  });
  assert.ok(capabilities.completionProvider && capabilities.hoverProvider && capabilities.definitionProvider);
  await connection.sendNotification("initialized", {});

  const uri = `${rootUri}/a.bpb`;
  const text = 'set colour="\u{1F600}"\n:top\nEcho "$colour $colur"\nFullUnzp "a.imz" 1\nGoto top\nInclude "site.bpb"\n';
  const textDocument = { uri };
  await connection.sendNotification("textDocument/didOpen", { textDocument: { uri, languageId: "bpscript", version: 1, text } });

  const { diagnostics } = await published;
  const unknown = diagnostics.find((each) => each.code === "BP102");
  assert.deepStrictEqual(unknown.range, { start: { line: 3, character: 0 }, end: { line: 3, character: 8 } });
  assert.match(unknown.message, /unknown command "FullUnzp"/);
  assert.ok(diagnostics.some((each) => each.code === "BP301" && each.range.start.line === 2));

  const ask = (method, line, character, more = {}) => connection.sendRequest(`textDocument/${method}`, { textDocument, position: { line, character }, ...more });
  const completion = await ask("completion", 3, 6);
  const items = Array.isArray(completion) ? completion : completion.items;
  assert.ok(items.some((each) => each.label === "FullUnzip"), JSON.stringify(items));
  assert.match((await ask("hover", 2, 9)).contents.value, /is set in line 1/);
  const label = await ask("definition", 4, 6);
  assert.deepStrictEqual([label.uri, label.range.start.line], [uri, 1]);
  assert.strictEqual((await ask("definition", 5, 12)).uri, `${rootUri}/site.bpb`);
  const symbols = await connection.sendRequest("textDocument/documentSymbol", { textDocument });
  assert.deepStrictEqual(symbols.map((each) => each.name), ["colour", "top", "site.bpb"]);
  await connection.sendNotification("textDocument/didChange", { textDocument: { uri, version: 2 }, contentChanges: [{ text: "  beep\n" }] });
  const edits = await connection.sendRequest("textDocument/formatting", { textDocument, options: { tabSize: 4, insertSpaces: true } });
  assert.deepStrictEqual(edits.map((each) => each.newText), ["Beep\n"]);

  await connection.sendRequest("shutdown");
  await connection.sendNotification("exit");
  const [status] = await ended;
  connection.dispose();
  assert.strictEqual(status, 0);
});
