"""Footage cut into training clips: stories of ordered scenes, and transitions around a cut, with their captions."""
