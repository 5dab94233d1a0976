"""The models: the only folder that imports diffusers or transformers, and the interface by which others know them."""
