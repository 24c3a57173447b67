"""What a client adds to the transports: values, authentication, bodies, redirects and text."""
