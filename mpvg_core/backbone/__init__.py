"""The models: the only folder that imports diffusers or transformers, and the interface by which others know them."""

POCKET = "pocket"
"""What the embedded model is called where models are named. Here, so that who only lists models loads no more."""
