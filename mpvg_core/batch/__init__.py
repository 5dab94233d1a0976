"""Storyboards filmed by running ComfyUI servers: no torch, and nothing of ComfyUI but what its servers say."""
