"""The embedded default model: a toy world, a tiny CogVideoX trained on it, and the recipe that trains it."""
