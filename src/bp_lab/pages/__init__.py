"""The pages that are made by running the project."""
