"""OpenAI's transcriptions."""
