"""Boot code and image recipes, as package data (read them through `bpscript.base.resources`)."""
