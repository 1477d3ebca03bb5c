"""Everything a script can touch: disks, files, clock, screen and keyboard."""
