"""The cache `{:-1}`: a volatile, self-checking file system in the free space at the end of a disk (FORMAT.md, language.md 5)."""

from .volume import CacheVolume, cache_valid, format_cache

__all__ = ["CacheVolume", "cache_valid", "format_cache"]
