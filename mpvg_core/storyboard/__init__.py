"""What to film: storyboards read, checked and planned, without torch or numpy."""
