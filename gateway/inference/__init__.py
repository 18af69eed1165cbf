"""From a request of any API to a reply: the model, the prompt, the runner, the response."""
