"""ext2, ext3 and ext4 volumes through libext2fs."""
