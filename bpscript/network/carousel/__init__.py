"""A file for a whole room by multicast, round and round: sender, receiver and their driver (CAROUSEL.md)."""
