"""Models: sequences of ops. No calculus of their own."""
