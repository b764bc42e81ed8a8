"""What makes a robustness figure doubtful: measurements on a model, and checks that judge them."""
