"""What is spoken over a stream: HTTP/1.1, and the engines that parse it."""
