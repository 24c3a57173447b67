"""What is asked and answered: URLs, header fields, requests, responses and their bodies, over either protocol."""
