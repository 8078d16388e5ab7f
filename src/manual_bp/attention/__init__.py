"""Attention: how much of every value an output takes is a softmax over queries times keys."""
