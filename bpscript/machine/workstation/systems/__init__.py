"""The Linux that is installed on a partition, as its boot loader's configuration says (find.py)."""
