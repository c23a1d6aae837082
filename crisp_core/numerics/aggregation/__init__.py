"""Rules that turn the sites' updates into the next model: one file and one test a family.

Each rule is a function of a `Round` and of what it kept from the rounds before.
"""
