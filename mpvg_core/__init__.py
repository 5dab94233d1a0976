"""MPVG's core: films storyboards shot after shot with CogVideoX; runs with and without ComfyUI.

Importing this package loads neither torch, diffusers nor transformers.
"""

__version__ = "0.1.0"
