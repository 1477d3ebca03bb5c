"""Runs a program line by line; knows no command by name."""
