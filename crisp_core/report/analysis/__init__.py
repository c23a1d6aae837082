"""Where a model fails, and whether it knows: computed from the figures that the sites sent."""
