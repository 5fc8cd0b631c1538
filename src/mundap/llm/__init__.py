"""The OpenAI protocol: the chat model and the words sent to it."""
