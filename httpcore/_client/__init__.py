"""The client above the transports: requests' habits, for asyncio, trio and threads."""
