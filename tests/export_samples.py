"""A model that was trained for a moment, for whoever tests what runs it elsewhere."""

from __future__ import annotations

from pathlib import Path

from federation_on_disk import tiny_options, tiny_study

from crisp_server.simulate import carry_on, start


def trained_run(folder: Path) -> Path:
    """Run a federation long enough that the discs of its images are found; returns the run."""
    study = tiny_study(
        folder,
        training={"steps": 160, "batch_size": 4, "learning_rate": 3e-3},
        images={"size": [24, 24]},
    )
    run = start(study, folder / "run", tiny_options())
    carry_on(run, lambda _: None)
    return run.path
