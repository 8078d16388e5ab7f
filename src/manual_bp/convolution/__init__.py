"""Convolutions: a kernel of weights slid over one or more spatial axes."""
