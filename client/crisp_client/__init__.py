"""The hospital: trains, makes hints and measures where the images are."""
