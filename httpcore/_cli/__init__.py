"""The command line: one request, its response as curl writes it, and the steps in between."""
