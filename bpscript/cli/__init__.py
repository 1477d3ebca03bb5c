"""The command line: one module per verb; the only layer that reads argv, prints, or exits."""
