"""From text to statements, and how a command is declared."""
