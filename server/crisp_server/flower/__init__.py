"""The ServerApp, and the Sites protocol spoken over a Flower Grid."""

from __future__ import annotations

from pathlib import Path

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from crisp_core.errors import CrispError
from crisp_server.conduct import conduct
from crisp_server.events import EventLog
from crisp_server.flower.grid_sites import GridSites
from crisp_server.store import RunFolder

__all__ = ["GridSites", "app"]
CRASHED = 1

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Conduct the run whose folder the run config names; its last event says how it ended."""
    run = RunFolder.open(Path(str(context.run_config["run"])))
    with run.locked():
        log = EventLog(run.path / "events.jsonl")
        try:
            conduct(run, GridSites(grid, run))
        except CrispError as error:
            log.write("failed", sentence=str(error), exit_code=error.exit_code)
            raise
        except Exception as error:
            sentence = f"An unexpected error ended the run ({type(error).__name__}); see the log."
            log.write("failed", sentence=sentence, exit_code=CRASHED)
            raise
