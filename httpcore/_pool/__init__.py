"""The assignment of connections to requests, and one request from call to response."""
