"""Stackable block devices: positional reads and writes, no cursor."""
