"""The steps of a film as ComfyUI nodes: a schema and one call into the core each; no maths."""
