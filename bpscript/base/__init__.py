"""What every layer may use: errors, events, file sources, units, on-disk records, resources."""
