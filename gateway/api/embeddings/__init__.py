"""Embeddings, as Ollama and as OpenAI have them."""
