"""Variational autoencoders: p(z) p(x | z) with nets, and a net that infers z."""
