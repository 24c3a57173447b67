"""Which request gets which connection, and one request from call to response."""
