"""The run folder: after every step the model and what led to it, in one atomic move.

`study.json` is the study, `run.json` the engine, versions and commands. `state.json` is the one
pointer: progress and the hash of its model in `models/`. `spool/` holds the updates of the round in
progress, `ledger.jsonl` the hash-chained record of who took part, `sites/` each site's own folder
in a simulation.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

from crisp_core.arrays import Parameters
from crisp_core.errors import RunStateError
from crisp_core.files.atomic import TEMPORARY, write_text
from crisp_core.files.checkpoint import content_hash, read_parameters, write_parameters
from crisp_core.schema.frozen import Frozen
from crisp_core.schema.manifest import Progress, RunFacts, SavedState
from crisp_core.schema.study import Study
from crisp_core.trust.ledger import Ledger

Value = TypeVar("Value", bound=Frozen)
_NO_SITES: Mapping[str, str] = MappingProxyType({})
_OF_A_START = {"site.toml", "run.json"}


class RunFolder:
    """One run on disk. Every method leaves the folder such that a kill loses at most one step."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.ledger = Ledger(path / "ledger.jsonl")

    @classmethod
    def create(
        cls, path: Path, study: Study, facts: RunFacts, sites: Mapping[str, str] = _NO_SITES
    ) -> RunFolder:
        """Start a run in an absent or empty folder, or in one where a start was killed.

        The study is written last: without it, nothing was started.

        Args:
            path: The folder.
            study: The study.
            facts: Engine, versions and command.
            sites: In a simulation, the text of each site's `site.toml`.

        Raises:
            RunStateError: If the folder holds something already, or cannot be written.
        """
        try:
            _insist_on_free(path)
            (path / "models").mkdir(parents=True, exist_ok=True)
            (path / "spool").mkdir(exist_ok=True)
            _remove_half_written(path)
        except OSError as error:
            raise unwritable(path, error) from None
        for name, text in sites.items():
            write_text(path / "sites" / name / "site.toml", text)
        write_text(path / "run.json", facts.model_dump_json(indent=1))
        write_text(path / "study.json", study.model_dump_json(indent=1))
        return cls(path)

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """Open a run that was started before.

        Raises:
            RunStateError: If there is none.
        """
        if not cls.started(path):
            raise RunStateError(
                expected="a run folder with a study.json",
                got="none",
                where=str(path),
                fix="Start one with `crisp simulate STUDY.toml --run FOLDER`",
            )
        return cls(path)

    @staticmethod
    def started(path: Path) -> bool:
        """Tell whether there is a run in this folder."""
        return (path / "study.json").is_file()

    @property
    def study(self) -> Study:
        """The study as it was started."""
        return _read(self.path / "study.json", Study)

    @property
    def facts(self) -> RunFacts:
        """Engine, versions and commands of the run."""
        return _read(self.path / "run.json", RunFacts)

    def note_command(self, command: str) -> None:
        """Add the command that continues this run to its facts."""
        facts = self.facts
        facts = facts.model_copy(update={"commands": (*facts.commands, command)})
        write_text(self.path / "run.json", facts.model_dump_json(indent=1))

    def accept(self, names: Sequence[str]) -> None:
        """Let the run's study take these errors of the data verdict for false alarms."""
        study = self.study
        names = tuple(dict.fromkeys((*study.federation.accept_verdict, *names)))
        federation = study.federation.model_copy(update={"accept_verdict": names})
        changed = study.model_copy(update={"federation": federation})
        write_text(self.path / "study.json", changed.model_dump_json(indent=1))

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the run for one process; what killed ones left half written is removed.

        Raises:
            RunStateError: If another process holds it.
        """
        try:
            handle = os.open(self.path / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise unwritable(self.path, error) from None
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(handle)
            raise RunStateError(
                expected="a run that nobody else is running",
                got="one that another process holds",
                where=str(self.path),
                fix="Wait for it to end, or stop it",
            ) from None
        try:
            _remove_half_written(self.path)
            yield
        finally:
            os.close(handle)

    def save(self, parameters: Parameters, progress: Progress) -> None:
        """Make this the state that `load` returns: first the model, then the pointer to it."""
        state = SavedState(
            study_hash=self.study.hash(),
            model=self.keep_model(parameters),
            progress=progress,
            ledger_length=len(self.ledger),
        )
        write_text(self.path / "state.json", state.model_dump_json())
        kept = (*progress.generation_models, *progress.personal_norms)
        self._prune({state.model, progress.aggregation_memory, *kept})

    def load(self) -> tuple[Parameters, Progress] | None:
        """Return the last saved state, or None; nothing on the disk changes.

        Raises:
            RunStateError: If the state is unreadable or belongs to another study.
        """
        state = self._saved()
        return (self.model(state.model), state.progress) if state else None

    def aggregation_memory(self) -> Parameters:
        """Return what the aggregation rule kept when the last state was saved."""
        state = self._saved()
        kept = state.progress.aggregation_memory if state else ""
        return self.model(kept) if kept else {}

    def progress(self) -> Progress:
        """Return what was finished when the last state was saved."""
        state = self._saved()
        return state.progress if state else Progress()

    def rewind_ledger(self) -> None:
        """Drop the ledger's lines after the last saved state: what they tell of happens again."""
        state = self._saved()
        self.ledger.truncate_to(state.ledger_length if state else 0)

    def _saved(self) -> SavedState | None:
        path = self.path / "state.json"
        if not path.is_file():
            return None
        state = _read(path, SavedState)
        if state.study_hash != self.study.hash():
            raise _unusable(path, "the state of this study", "that of another study")
        return state

    def keep_model(self, parameters: Parameters) -> str:
        """Write a model under its content hash, once, and return the hash."""
        name = content_hash(parameters)
        path = self._model_path(name)
        if not path.exists():
            write_parameters(path, parameters, {"study": self.study.hash()})
        return name

    def model(self, name: str) -> Parameters:
        """Read the model of this content hash.

        Raises:
            RunStateError: If it is absent or its bytes are not what its name says.
        """
        path = self._model_path(name)
        if not path.is_file():
            raise _unusable(path, "a model of the run", "no such file")
        parameters, _ = read_parameters(path)
        if content_hash(parameters) != name:
            raise _unusable(path, "the content that the name says", "another")
        return parameters

    def spool(self, site: str, parameters: Parameters) -> None:
        """Keep one site's update until the round is averaged."""
        write_parameters(self._spool_path(site), parameters, {})

    def spooled(self, site: str) -> Parameters:
        """Read one site's update back."""
        return read_parameters(self._spool_path(site))[0]

    def clear_spool(self) -> None:
        """Forget the updates of a round that is averaged."""
        for path in (self.path / "spool").iterdir():
            path.unlink()

    def _spool_path(self, site: str) -> Path:
        return self.path / "spool" / f"{site}.safetensors"

    def _model_path(self, name: str) -> Path:
        return self.path / "models" / f"{name}.safetensors"

    def _prune(self, wanted: set[str]) -> None:
        for path in (self.path / "models").iterdir():
            if path.name.split(".")[0] not in wanted:
                path.unlink()


def _insist_on_free(path: Path) -> None:
    """Refuse a folder that holds any file but those that a start writes before the study."""
    if not path.exists():
        return
    files = (one.name for one in (path.rglob("*") if path.is_dir() else [path]) if one.is_file())
    if any(name not in _OF_A_START and not name.endswith(TEMPORARY) for name in files):
        raise RunStateError(
            expected="an empty or absent run folder",
            got="one with something in it",
            where=str(path),
            fix=f"Continue it with `crisp resume {path}` or name another with --run",
        )


def _remove_half_written(path: Path) -> None:
    for half in path.rglob(f".*{TEMPORARY}"):
        half.unlink()


def _read(path: Path, kind: type[Value]) -> Value:
    try:
        return kind.model_validate_json(path.read_bytes())
    except (OSError, ValueError):
        raise _unusable(path, f"a readable {path.name}", "a damaged one") from None


def _unusable(path: Path, expected: str, got: str) -> RunStateError:
    return RunStateError(
        expected=expected,
        got=got,
        where=str(path),
        fix="Restore the folder from a backup, or start the study in another folder",
    )


def unwritable(path: Path, error: OSError) -> RunStateError:
    """Say that the disk refused, and why."""
    return RunStateError(
        expected="a folder that can be written",
        got=error.strerror or "an error of the disk",
        where=str(path),
        fix="Free space, mend the rights, or name another folder with --run",
    )
