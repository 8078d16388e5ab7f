"""Regularisation: what is added to the loss, or taken from the signal, against overfitting."""
