"""HTTP: files of a server as a source, and a server of files."""
