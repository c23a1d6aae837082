"""Torch networks: encode, perturb, decode; parameters to named arrays and back."""
