"""HTTP/2: many exchanges at once on a connection (RFC 9113)."""
