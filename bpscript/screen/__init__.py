"""Screen and keyboard: protocols and the memory versions that tests use."""
