"""Independent ways to know a derivative."""
