"""How to get to a server: routes, proxies, names and addresses, sockets, TLS."""
