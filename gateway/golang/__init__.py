"""What must be as Go does it, because Ollama's clients and models see it."""
