"""Reading a page in three steps: where is text, where do characters part, which are they."""
