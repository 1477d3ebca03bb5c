"""The verbs of the command line, in one tuple. Each lives in its own module of `bpscript.cli`, imported only when it is used."""

from typing import NamedTuple


class Verb(NamedTuple):
    """Name, module below `bpscript.cli`, and the line that `bpscript --help` shows.

    Where `actions` is true, `add_to` also takes the action that is used, and loads nothing for the others.
    """

    name: str
    module: str
    summary: str
    actions: bool = False


VERBS = (
    Verb("run", "run", "run a script against disk images or disks"),
    Verb("plan", "plan", "say what a script would change, without changing it"),
    Verb("check", "check", "look for mistakes in scripts without running them"),
    Verb("explain", "explain", "explain a rule of check"),
    Verb("fmt", "fmt", "write scripts in one way, without changing what they mean"),
    Verb("lsp", "lsp", "a language server for editors, on standard input and output"),
    Verb("shell", "shell", "try commands one by one, with completion and help"),
    Verb("replay", "replay", "run a record again, and say where it goes another way"),
    Verb("disk", "disk", "make, look into and change disk images without a script"),
    Verb("image", "image", "make, restore, check and look into archives", actions=True),
    Verb("serve", "serve", "serve files, addresses and boot programs to a room of machines"),
    Verb("hosts", "hosts", "change a database of hosts, which `serve --hosts` reads in place of hosts.toml"),
    Verb("boot", "boot", "make what workstations boot from the network"),
    Verb("gateway", "gateway", "answer CheckUser: ask user bases whether a password is right"),
    Verb("test", "test", "run tests of scripts that are written down as data"),
    Verb("help", "help", "explain the commands of the language"),
    Verb("completion", "completion", "print a completion script for bash, zsh or fish"),
)
