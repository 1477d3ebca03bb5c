"""The workstation itself, where the boot environment runs: its hardware, its clock, and how it leaves for another system."""
