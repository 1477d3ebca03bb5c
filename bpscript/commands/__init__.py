"""The vocabulary of the language: one module per family of commands."""
