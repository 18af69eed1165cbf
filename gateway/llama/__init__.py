"""How to talk to a llama-server: requests, events, errors, and what it must not be sent."""
