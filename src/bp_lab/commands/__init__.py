"""What each command of `manual-bp` does; each `run` returns the exit status."""
