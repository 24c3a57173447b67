"""Transports: a small interface to the network and to apps in this process, and the middleware between."""
