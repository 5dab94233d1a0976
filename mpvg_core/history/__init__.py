"""What a new shot remembers of the earlier ones: select, extract, decouple."""
