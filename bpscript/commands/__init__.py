"""The vocabulary of the language: one module per family of commands."""

from ..language.declare import CommandSet
from . import boot, building, disks, files, flow, graphics, images, input, log, menus, national, screen, users, variables  # noqa: A004

COMMANDS = CommandSet.collect((boot, building, disks, files, flow, graphics, images, input, log, menus, national, screen, users, variables))
