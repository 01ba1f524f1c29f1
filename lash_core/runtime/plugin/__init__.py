"""Plugins of a host, and those of one session built from them."""
