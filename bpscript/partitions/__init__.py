"""Partition tables: MBR with nested extended tables, and GPT."""
