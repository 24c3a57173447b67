"""The worlds: asyncio, trio, blocking threads, and one in memory for tests. Each is imported only when it is used."""
