"""Generative adversarial networks: nets that make samples, each beside a critic that judges them.

Their games are `objectives.non_saturating` and its neighbours, which any of these models plays, and
`learning.adversaries` is the training of both.
"""
