"""Inference: EM, variational inference, and linear models with latent variables."""
