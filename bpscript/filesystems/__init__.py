"""File systems inside block devices, without root and without mounting."""
