"""`bpscript completion bash|zsh|fish`: a completion script made from the parsers themselves."""

import argparse
from collections.abc import Iterator
from importlib import import_module
from typing import Any

from .main import DONE
from .verbs import VERBS

_BASH = """# bpscript completion for bash: eval "$(bpscript completion bash)"
_bpscript() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} place="${{COMP_WORDS[1]}} ${{COMP_WORDS[2]}}"
    local words=
    if [ "$COMP_CWORD" -eq 1 ]; then
        words="{verbs} --help --version"
    else
        case "$place" in
{cases}
        esac
    fi
    COMPREPLY=($(compgen -W "$words" -- "$word"))
    # What is no option and no word of ours is a file.
    [ ${{#COMPREPLY[@]}} -gt 0 ] || COMPREPLY=($(compgen -f -- "$word"))
}}
complete -o filenames -F _bpscript bpscript
"""

_ZSH = """#compdef bpscript
# bpscript completion for zsh: eval "$(bpscript completion zsh)"
autoload -U +X bashcompinit && bashcompinit
"""


def add_to(verbs: Any, summary: str) -> None:  # noqa: ANN401 - argparse's own type is private
    """Declare the verb and its options."""
    parser = verbs.add_parser(
        "completion", help=summary, description="Print a completion script.", epilog='example: eval "$(bpscript completion bash)"'
    )
    parser.set_defaults(function=completion_verb)
    parser.add_argument("shell", choices=["bash", "zsh", "fish"])


def completion_verb(options: argparse.Namespace) -> int:
    """Print the script for a shell."""
    places = dict(_places())
    if options.shell == "fish":
        print("\n".join(_fish(places)))
        return DONE
    # A sub-action is a longer place, so it stands before its verb.
    cases = "\n".join(f'            "{place}"*) words="{" ".join(words)}";;' for place, words in sorted(places.items(), reverse=True))
    script = _BASH.format(verbs=" ".join(verb.name for verb in VERBS), cases=cases)
    print((_ZSH if options.shell == "zsh" else "") + script, end="")
    return DONE


def _places() -> Iterator[tuple[str, list[str]]]:
    """Each verb ("run"), and each action of a verb ("disk create"), with the words that may follow it."""
    parser = argparse.ArgumentParser()
    group = parser.add_subparsers()
    for verb in VERBS:
        import_module(f"bpscript.cli.{verb.module}").add_to(group, verb.summary)
    for name, sub in group.choices.items():
        inner = _actions(sub)
        yield f"{name} ", [*inner, *_options(sub), *_choices(sub)] if not inner else [*inner, "--help"]
        for action, each in inner.items():
            yield f"{name} {action}", _options(each)
    from ..commands import COMMANDS  # noqa: PLC0415 - only here
    from ..language.check.codes import RULES  # noqa: PLC0415 - as above

    yield "help ", COMMANDS.names()
    yield "explain ", list(RULES)


def _actions(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    for action in parser._actions:    # argparse has no public way to ask
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


def _options(parser: argparse.ArgumentParser) -> list[str]:
    return [option for action in parser._actions for option in action.option_strings if option.startswith("--")]


def _choices(parser: argparse.ArgumentParser) -> list[str]:
    return [
        str(choice)
        for action in parser._actions
        if not action.option_strings and action.choices
        for choice in action.choices
    ]


def _fish(places: dict[str, list[str]]) -> Iterator[str]:
    yield "# bpscript completion for fish: bpscript completion fish | source"
    for verb in VERBS:
        yield f"complete -c bpscript -n __fish_use_subcommand -a {verb.name} -d '{verb.summary}'"
    for place, words in sorted(places.items()):
        name, _, action = place.strip().partition(" ")
        condition = f"__fish_seen_subcommand_from {name}" + (f"; and __fish_seen_subcommand_from {action}" if action else "")
        for word in words:
            given = f"-l {word.removeprefix('--')}" if word.startswith("--") else f"-a '{word}'"
            yield f"complete -c bpscript -n '{condition}' {given}"
