"""FAT12, FAT16 and FAT32 volumes with long names."""
