"""Reranking, as Jina and Cohere have it."""
