"""Conversations: chats, messages and the turns that answer them."""
