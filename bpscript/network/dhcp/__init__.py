"""BOOTP and DHCP messages, and the variables they give a script."""
