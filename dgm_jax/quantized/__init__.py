"""Quantised latents: codes of a codebook, and the models that are made of them."""
