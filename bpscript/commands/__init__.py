"""The vocabulary of the language: one module per family of commands."""

from ..language.declare import CommandSet

# In the order in which a name is looked for: what every script uses first, what loads much last.
FAMILIES = (
    "variables", "flow", "log", "input", "screen", "menus", "graphics", "users", "national", "boot", "files", "disks", "images",
    "building",
)  # fmt: skip

COMMANDS = CommandSet(__name__, FAMILIES)
