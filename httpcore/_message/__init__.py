"""Requests and responses: URLs, header fields, requests, responses and their bodies, over either protocol."""
