"""The method's paper: its protocol as studies, its published figures, and ours beside them."""
