"""Traces for other libraries: each module needs one optional library, and no other module imports it."""
