"""Other ways to a long film: each file is one method, told to the one sampler as a `Technique`."""
