"""Passwords: written into the script, shown in the log, sent over the network in clear."""

import re

from ..places import PlacedError
from ..syntax import TEXTUAL, Node, Test, Text, Word
from .step import Rules, Step, names_files

# Names of variables that hold a password; a salt, a crypted password or an answer is none.
_NAME = re.compile(r"(?:^|[-_+])(?:password|passwd|pass|pwd|secret|kennwort|motdepasse|mdp)\d*\Z", re.IGNORECASE)
_URL = re.compile(r"\b[a-z][a-z0-9+.-]*://[^/\s:@]+:[^/\s@]+@", re.IGNORECASE)
_LINUX = re.compile(r"(?:^|[\s,])(?:[\w.-]*(?:password|passwd|pwd))=([^\s,]+)", re.IGNORECASE)
_CRYPTED = re.compile(r"\$\d\w*\$|[./0-9A-Za-z]{13}\Z")
_SHOWN = ("Log", "Echo")
_SENT = ("LinuxBoot", "Include", "TFTPBoot")


def add_to(rules: Rules) -> None:
    """The rules of this module."""
    rules.checks.setdefault("Set", []).append(_check_set)
    rules.checks.setdefault("CheckUser", []).append(_check_user)
    rules.checks.setdefault("Crypt", []).append(_check_crypt)
    rules.checks.setdefault("If", []).append(_check_test)
    rules.checks.setdefault("LinuxBoot", []).append(_check_command_line)
    for name in _SHOWN:
        rules.checks.setdefault(name, []).append(_check_shown)
    rules.wide.append((names_files, _check_sent))


def _literal(node: Node | None, step: Step) -> str | None:
    """The text of a string that stands in the script as it is."""
    if not isinstance(node, Text) or step.command.is_open(node):
        return None
    found = step.known_text(node)
    return found or None


_HINT = "compare with a crypted password (If ... Match-Passwd), or ask a login gateway (CheckUser)"


def _check_set(step: Step) -> None:
    name, value = step.command.argument("name"), step.command.argument("value")
    if not isinstance(name, Word) or step.command.is_open(name):
        return
    text = _literal(value, step)
    if text is None:
        return
    if _NAME.search(name.text) and not _CRYPTED.match(text) and not name.text.lower().startswith("security-"):
        step.report("BP601", value, f"${name.text} gets a password that everyone can read in the script", _HINT)
    elif _URL.search(text):
        step.report("BP601", value, "the address has a password in it that everyone can read in the script")


def _check_user(step: Step) -> None:
    node = step.command.argument("password")
    if _literal(node, step) is not None:
        step.report("BP601", node, "the password stands in the script, where everyone can read it", "GetPasswd asks for it")


def _check_crypt(step: Step) -> None:
    node = step.command.argument("text")
    if _literal(node, step) is not None:
        step.report("BP601", node, "the password that is crypted stands in the script, where everyone can read it", "put the crypted one into the script")


def _check_test(step: Step) -> None:
    """A comparison of what was typed with a text in the script."""
    node = step.command.argument("test")
    if not isinstance(node, Test):
        return
    if node.operator == "match-passwd":
        if _literal(node.left, step) is not None:
            step.report("BP601", node.left, "the password stands in the script, where everyone can read it")
        return
    if node.operator not in {"==", "!="} or node.right is None:
        return
    for one, other in ((node.left, node.right), (node.right, node.left)):
        if isinstance(one, TEXTUAL) and _is_secret(step, one) and _literal(other, step) is not None:
            step.report("BP601", other, "what was typed is compared with a password that everyone can read in the script", _HINT)


def _check_command_line(step: Step) -> None:
    node = step.command.argument("command_line")
    match = _LINUX.search(step.prefix(node))
    if match is not None and isinstance(node, Text) and not match[1].startswith(("$", "{")):
        step.report("BP601", node, "the command line of the kernel has a password in it that everyone can read in the script")


def _is_secret(step: Step, node: Node) -> bool:
    program = step.program
    return any(
        step.state.secret & program.bits_of({used.names[program.choice(used)][0]}) for used in step.used_in(node)
    )


def _check_shown(step: Step) -> None:
    node = step.command.argument("text")
    if step.state.secret and node is not None and _is_secret(step, node):
        step.report("BP602", node, "a password is written to the log", "the log is shown, kept in files and sent with reports")


def _check_sent(step: Step) -> None:
    """A name of a file on a server, or a kernel's command line, with a password in it."""
    if not step.state.secret or step.program.premises.encrypted:
        return
    for match in step.command.arguments:
        if not match.nodes:
            continue
        node = match.nodes[0]
        names_file = match.parameter.type.file_use is not None
        if not names_file and match.parameter.name != "command_line":
            continue
        if not isinstance(node, TEXTUAL) or not _is_secret(step, node):
            continue
        try:
            start = step.prefix(node)
        except PlacedError:
            continue
        if names_file and start.startswith("{"):
            continue
        what = "the name of a file is sent" if names_file else "the command line is kept by the kernel (/proc/cmdline)"
        step.report("BP603", node, f"a password leaves the machine in clear: {what}", "CheckUser encrypts the password; so does a root of https://")
