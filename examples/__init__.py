"""Programs that show how httpcore is used; each runs as `python -m examples.NAME`."""
