"""The models: the only folder that imports diffusers or transformers, and the interface by which others know them."""

from pathlib import Path

POCKET = "pocket"
"""What the embedded model is called where models are named. Here, so that who only lists models loads no more."""

POCKET_FOLDER = Path(__file__).parent.parent / "pocket" / "weights"
"""Where it lies."""
