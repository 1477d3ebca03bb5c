"""Partition tables: MBR with nested extended tables, and GPT.

    table.read_table(device, sector_size)              what a disk has: Table, Partition; `Table.to_list` is GetPartitions
    table.open_partition, cache_range                  the bytes of a partition, of the cache
    plan.plan_partitions(list, device, ...)            SetPartitions: a Plan to look at, then `plan.apply(device)`
    boot.set_boot_partition, boot_partition            SetBootPart, GetBootPart
    boot.write_boot_code, clean_extended               Clean of 0, Clean of an extended partition
    geometry.firmware_geometry                         heads and sectors as DOS needs them
"""
