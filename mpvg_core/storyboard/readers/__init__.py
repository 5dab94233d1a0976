"""One file for each way to write a storyboard; every reader turns text into a `Draft`."""
