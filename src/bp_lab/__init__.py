"""The shell around the hand-written gradients: data, training runs, reports, pictures."""
