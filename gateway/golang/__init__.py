"""Go's own rules where Ollama's clients and models see them: JSON, templates, durations, texts."""
