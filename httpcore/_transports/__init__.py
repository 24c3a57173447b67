"""Transports: a small interface over the network, apps in this process, and what stands between."""
