"""What is on disk: text to values and back, pure and exact."""
