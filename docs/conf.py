"""The manual as a web site: `make docs`. Pages on commands and verbs come from their declarations, formats from beside their code."""

import argparse
import re
from importlib import import_module
from pathlib import Path
from typing import Any

from pygments.lexer import RegexLexer
from pygments.token import Comment, Keyword, Name, Number, Operator, Punctuation, String, Text
from sphinx.application import Sphinx

from bpscript import __version__
from bpscript.cli.verbs import VERBS
from bpscript.commands import COMMANDS
from bpscript.language.check.codes import RULES

DOCS = Path(__file__).parent
ROOT = DOCS.parent
GENERATED = DOCS / "generated"

project = "bpscript"
author = "The bpscript authors"
copyright = "the bpscript authors"  # noqa: A001 - Sphinx's name for it
version = release = __version__
extensions = ["myst_parser"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"bpscript {__version__}"
html_static_path: list[str] = []
myst_heading_anchors = 3
highlight_language = "text"

# Documents that stand elsewhere in the repository, and their pages here.
ELSEWHERE = {
    "grammar/README.md": "language-in-a-page", "grammar/language.md": "language", "bpscript/archive/FORMAT.md": "archive-format",
    "bpscript/filesystems/cache/FORMAT.md": "cache-format", "bpscript/network/GATEWAY.md": "gateway-protocol", "bpscript/network/CAROUSEL.md": "carousel-protocol",
}
_LINK = re.compile(r"\[([^\]\n]*)\]\(([^)#\s]+)([^)\n]*)\)")


class BatchLexer(RegexLexer):
    """Colours of BPBATCH scripts."""

    name = "BPBATCH"
    aliases = ("bpbatch",)
    flags = re.MULTILINE | re.IGNORECASE
    tokens = {  # noqa: RUF012 - Pygments wants it so
        "root": [
            (r"^\s*#.*$", Comment),
            (r"^\s*:.*$", Name.Label),
            (r"^(\s*)(\.?[a-z][a-z0-9]*)", lambda lexer, match, context=None: iter(((match.start(1), Text, match[1]), (match.start(2), Keyword, match[2])))),
            (r'"', String, "string"),
            (r"\$\{[^}\n]*\}|\$[a-z_][\w+-]*", Name.Variable),
            (r"-?\d+(?:\.\d)?\b", Number),
            (r"[=<>!@#+*/%-]+", Operator),
            (r"[(){}\[\],:]", Punctuation),
            (r"[a-z][\w.-]*", Name),
            (r"\s+|.", Text),
        ],
        "string": [
            (r'"', String, "#pop"), (r"\$\{[^}\n]*\}|\$[a-z_][\w+-]*", Name.Variable), (r"\\.", String.Escape), (r'[^"$\\\n]+|\$', String), (r"\n", Text, "#pop"),
        ],
    }


def setup(app: Sphinx) -> None:
    """Make the pages that are made, and let links lead to pages."""
    app.add_lexer("bpbatch", BatchLexer)
    app.connect("builder-inited", make_pages)
    app.connect("source-read", follow_links)


def make_pages(app: Sphinx) -> None:
    """Write the generated pages."""
    GENERATED.mkdir(exist_ok=True)
    _write("commands.md", _commands())
    _write("verbs.md", _verbs())
    _write("rules.md", _rules())
    for source, page in ELSEWHERE.items():
        if page != "language-in-a-page":
            _write(f"{page}.md", (ROOT / source).read_text(encoding="utf-8"))
        else:
            _write(f"{page}.md", (ROOT / source).read_text(encoding="utf-8").replace("# ", "# The language in a page: ", 1))


def _write(name: str, text: str) -> None:
    path = GENERATED / name
    if not path.exists() or path.read_text(encoding="utf-8") != text:      # Sphinx reads only what changed
        path.write_text(text, encoding="utf-8")


def _commands() -> str:
    lines = ["# Commands of the language", "", "As `bpscript help COMMAND` shows them."]
    for group in dict.fromkeys(each.group for each in COMMANDS):
        lines += ["", f"## {group.capitalize()}"]
        for each in sorted((each for each in COMMANDS if each.group == group), key=lambda each: each.name.lower()):
            lines += ["", f"### {each.name}", "", "```text", each.help_text().strip("\n"), "```"]
    return "\n".join(lines) + "\n"


def _verbs() -> str:
    lines = ["# Verbs of the command line", "", "As `bpscript VERB --help` shows them; the [manual](../manual.md) says more."]
    for name, parser in _parsers():
        lines += ["", f"{'##' if ' ' not in name else '###'} bpscript {name}", "", "```text", parser.format_help().strip("\n"), "```"]
    return "\n".join(lines) + "\n"


def _rules() -> str:
    lines = ["# Rules of the checker", "", "As `bpscript explain CODE` shows them; the [manual](../manual.md) says what `bpscript check` does."]
    for rule in RULES.values():
        lines += ["", f"## {rule.code}", "", "```text", rule.page(), "```"]
    return "\n".join(lines) + "\n"


def _parsers() -> list[tuple[str, argparse.ArgumentParser]]:
    """Every verb, and every action of a verb."""
    top = argparse.ArgumentParser(prog="bpscript")
    group: Any = top.add_subparsers(prog="bpscript")
    found: list[tuple[str, argparse.ArgumentParser]] = []
    for verb in VERBS:
        import_module(f"bpscript.cli.{verb.module}").add_to(group, verb.summary)
        parser = group.choices[verb.name]
        found.append((verb.name, parser))
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                found += [(f"{verb.name} {inner}", each) for inner, each in action.choices.items()]
    return found


def follow_links(app: Sphinx, name: str, source: list[str]) -> None:
    """A link between documents of the repository leads to the page of this site; one to another file says only which it is."""
    original = next((key for key, page in ELSEWHERE.items() if f"generated/{page}" == name), None)
    folder = (ROOT / original).parent if original else (DOCS / name).parent

    def lead(match: re.Match[str]) -> str:
        target = match[2]
        if "://" in target or target.startswith("mailto:"):
            return match[0]
        path = (folder / target).resolve()
        if not path.is_relative_to(ROOT):
            return match[0]
        inside = path.relative_to(ROOT).as_posix()
        page = f"docs/generated/{ELSEWHERE[inside]}.md" if inside in ELSEWHERE else inside
        if page.startswith("docs/") and page.endswith((".md", ".svg", ".png")):
            return f"[{match[1]}]({'../' * name.count('/')}{page.removeprefix('docs/')}{match[3]})"
        return f"{match[1]} (`{inside}`)"

    source[0] = _LINK.sub(lead, source[0])
