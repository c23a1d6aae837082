"""A model tried where it could fail: every artefact at every severity, on this site's own cases."""
