"""What a workstation boots: the builder of kernel, initramfs and boot programs behind `bpscript boot build`."""
