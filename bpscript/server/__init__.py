"""What `bpscript serve` and `bpscript gateway` run: servers wired together."""
