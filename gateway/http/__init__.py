"""Clients' connections: sockets, HTTP/1.1, who may call, and one log line for each request."""
