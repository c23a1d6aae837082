"""The ServerApp, and the Sites protocol spoken over a Flower Grid."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp
from flwr.supercore.inflatable.inflatable_utils import pull_objects
from flwr.superlink.grid import http_grid

from crisp_core.errors import CrispError
from crisp_server.conduct import conduct
from crisp_server.events import EventLog
from crisp_server.flower.grid_sites import GridSites
from crisp_server.store import RunFolder

__all__ = ["GridSites", "app"]
FIRST_WAIT_S, LONGEST_WAIT_S = 0.05, 2.0
MOST_TRIES = 28
"""With these waits three quarters of a minute: two parts of 5 MB at 2 Mbit/s take 40 s."""
Pulled = TypeVar("Pulled")

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Conduct the run whose folder the run config names; its last event says how it ended."""
    vars(http_grid).update(pull_objects=quick(pull_objects))
    run = RunFolder.open(Path(str(context.run_config["run"])))
    with run.locked():
        log = EventLog(run.path / "events.jsonl")
        try:
            conduct(run, GridSites(grid, run))
        except CrispError as error:
            log.write_failure(error)
            raise
        except Exception as error:
            sentence = f"An unexpected error ended the run ({type(error).__name__}); see the log."
            log.write("failed", sentence=sentence)
            raise


def quick(pull: Callable[..., Pulled]) -> Callable[..., Pulled]:
    """Let Flower's `pull` wait less for the parts of an answer, which is announced before them.

    It asks for a part that is not there yet again after 1, 2, … 10 s, at most 500 times. Meanwhile
    nobody else's answer is read: one whose line was cut in the middle would cost all of them the
    round. So a part that does not come within three quarters of a minute is lost, and its question
    asked again.
    """
    waits = {"initial_backoff": FIRST_WAIT_S, "backoff_cap": LONGEST_WAIT_S}
    return partial(pull, max_tries_per_object=MOST_TRIES, **waits)
