"""Training: what every recipe shares, and one recipe a file."""
