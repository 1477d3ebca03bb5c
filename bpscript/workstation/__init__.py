"""The boot environment, where it runs: from the kernel's first process to the script, and what follows it."""
