"""Data sets as their publishers lay them out, read in place: one small file a layout."""
