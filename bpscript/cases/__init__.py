"""Tests of scripts as data: TOML files that say what a script is given and what must be there afterwards (docs/testing.md)."""
