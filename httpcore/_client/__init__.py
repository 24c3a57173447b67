"""The client over the transports: redirects, cookies and authentication, for asyncio, trio and threads."""
