// The grammar in the machine that Visual Studio Code has for it (vscode-textmate on Oniguruma), on every example script.

const { test } = require("node:test");
const assert = require("node:assert");
const { readFileSync, readdirSync } = require("node:fs");
const { join } = require("node:path");
const oniguruma = require("vscode-oniguruma");
const { INITIAL, Registry, parseRawGrammar } = require("vscode-textmate");

const HERE = join(__dirname, "..");
const EXAMPLES = join(HERE, "..", "..", "tests", "spec", "examples");

async function load() {
  await oniguruma.loadWASM(readFileSync(require.resolve("vscode-oniguruma/release/onig.wasm")).buffer);
  const { contributes } = JSON.parse(readFileSync(join(HERE, "package.json"), "utf8"));
  const { path, scopeName } = contributes.grammars[0];
  const registry = new Registry({
    onigLib: Promise.resolve({
      createOnigScanner: (patterns) => new oniguruma.OnigScanner(patterns),
      createOnigString: (text) => new oniguruma.OnigString(text),
    }),
    loadGrammar: async () => parseRawGrammar(readFileSync(join(HERE, path), "utf8"), path),
  });
  return registry.loadGrammar(scopeName);
}

const loaded = load();

async function scopes(text) {
  const grammar = await loaded;
  let state = INITIAL;
  const found = [];
  for (const line of text.split("\n")) {
    const result = grammar.tokenizeLine(line, state);
    state = result.ruleStack;
    found.push(result.tokens.map((token) => [line.slice(token.startIndex, token.endIndex), token.scopes.at(-1)]));
  }
  return found;
}

const EXPECTED = [
  ["  # a comment", "# a comment", "comment.line"],
  [":my label ", "my label", "entity.name.label"],
  ['Echo "hello $who\\n"', "$who", "variable"],
  ['Echo "hello $who\\n"', "\\n", "constant.character.escape"],
  ['If not ci "$a" == "b" Goto out', "If", "keyword.control"],
  ['If not ci "$a" == "b" Goto out', "==", "keyword.operator"],
  ['If not ci "$a" == "b" Goto out', "out", "entity.name.label"],
  ["set n = ($n + 1)", "1", "constant.numeric"],
  ["TextAttr Yellow 1", "Yellow", "constant.language.color"],
  [".WRT free $x text", "free ", "string.unquoted"],
];

for (const [line, piece, scope] of EXPECTED) {
  test(`${piece} in ${line} is ${scope}`, async () => {
    const [tokens] = await scopes(line);
    assert.ok(tokens.some(([text, name]) => text === piece && name.startsWith(scope)), JSON.stringify(tokens));
  });
}

test("a string that is left open ends with its line", async () => {
  const [, second] = await scopes('Echo "open\nBeep');
  assert.deepStrictEqual(second[0][1].startsWith("support.function"), true, JSON.stringify(second));
});

const scripts = readdirSync(EXAMPLES, { recursive: true }).filter((name) => /\.(bpb|mrz)$/.test(name));
assert.ok(scripts.length > 5);
for (const name of scripts) {
  test(`every command of ${name} is coloured`, async () => {
    const text = readFileSync(join(EXAMPLES, name), "utf8");
    const lines = text.split(/\r?\n/);
    const found = await scopes(lines.join("\n"));
    lines.forEach((line, index) => {
      assert.strictEqual(found[index].map(([piece]) => piece).join("").trimEnd(), line.trimEnd());
      if (line.trim() && !/^\s*[:#]/.test(line)) {
        const first = found[index].find(([piece]) => piece.trim());
        assert.match(first[1], /^(support\.function|keyword\.control)/, `${name}:${index + 1}: ${line}`);
      }
    });
  });
}
