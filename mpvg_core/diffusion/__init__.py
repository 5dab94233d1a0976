"""How a shot is denoised: frames, noise, schedules, guidance, history injection and the one sampling loop.

Imports torch but neither diffusers nor transformers; a backbone is known here only by its interface.
"""
