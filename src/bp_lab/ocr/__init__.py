"""Reading text in pictures, by networks that are trained with hand-written gradients alone."""
