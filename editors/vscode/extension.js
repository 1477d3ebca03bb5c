// Starts `bpscript lsp` and lets the editor talk to it. Plain JavaScript: there is nothing to build.

const { workspace, window } = require("vscode");
const { LanguageClient } = require("vscode-languageclient/node");

let client;

async function activate() {
  const settings = workspace.getConfiguration("bpscript");
  const [command, ...before] = settings.get("command", ["bpscript"]);
  const root = settings.get("root", "");
  const disks = settings.get("disks", []);
  const args = [...before, "lsp", ...(root ? ["--root", root] : []), ...disks.flatMap((size) => ["--disk", size])];
  const folder = workspace.workspaceFolders?.[0]?.uri.fsPath;
  client = new LanguageClient(
    "bpscript",
    "bpscript",
    { command, args, options: { cwd: folder } },
    { documentSelector: [{ language: "bpscript" }] },
  );
  try {
    await client.start();
  } catch (error) {
    window.showErrorMessage(`bpscript lsp does not start: ${error.message}. pip install 'bpscript[lsp]' brings it.`);
  }
}

function deactivate() {
  return client?.stop();
}

module.exports = { activate, deactivate };
