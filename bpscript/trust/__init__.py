"""Runs that can be trusted: what one would change (plan), what is kept of one (record), and doing it again (replay)."""
