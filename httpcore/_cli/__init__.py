"""The command line: one request, its response like curl's, and what happened in between."""
