"""Recurrent layers over (batch, time, feature): cells scanned over time, layers made of them."""
