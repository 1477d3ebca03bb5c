"""The compressed partition archive (see FORMAT.md): capture, restore, verify."""
