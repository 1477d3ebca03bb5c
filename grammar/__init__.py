"""The grammar of the BPBATCH language, as package data (read it through `bpscript.base.resources`)."""
