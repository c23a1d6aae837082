"""Sites in this process: the real actions and the real door, without Flower between."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from crisp_client.actions import answered
from crisp_client.outbox import checked
from crisp_client.requests import Request
from crisp_core.arrays import Parameters
from crisp_core.model.from_study import segmenter_of
from crisp_core.model.parameters import to_arrays
from crisp_core.schema.frozen import Frozen
from crisp_core.schema.manifest import Progress, RunFacts, SiteSettings
from crisp_core.schema.record import Action
from crisp_core.schema.study import Study
from crisp_server.rounds import RoundResult, train_round
from crisp_server.sites import SiteReply
from crisp_server.steps import round_plan
from crisp_server.store import RunFolder


class Hospitals:
    """Every site of a study, asked one after the other."""

    def __init__(self, study: Study, folder: Path) -> None:
        self.study = study
        self.settings = {name: settings_of(study, name, folder) for name in study.sites}

    def ask(
        self, action: Action, plans: Mapping[str, Frozen | None], parameters: Parameters | None
    ) -> Iterator[SiteReply]:
        for site, plan in plans.items():
            text = plan.model_dump_json() if plan else ""
            request = Request(self.settings[site], self.study, text, parameters or {}, action)
            departure = checked(answered(request), request, None)
            yield SiteReply(
                site, departure.figures_text, departure.parameters or None, departure.fault
            )


def settings_of(study: Study, site: str, folder: Path) -> SiteSettings:
    return SiteSettings(
        site=site,
        data=study.sites[site].data,
        work=str(folder / site),
        device="cpu",
        threads=1,
        pseudonym_key="secret",
        cache=str(folder.parent / "cache" / site),
    )


def trained_rounds(study: Study, folder: Path) -> tuple[RunFolder, list[RoundResult]]:
    """Train all rounds of the first generation."""
    facts = RunFacts(engine="inline", started="", versions={}, commands=())
    run, sites = RunFolder.create(folder / "run", study, facts), Hospitals(study, folder)
    parameters, results = to_arrays(segmenter_of(study)), list[RoundResult]()
    for step in round_plan(study):
        results.append(train_round(study, step, parameters, (), sites, run))
        parameters = results[-1].parameters
        memory = results[-1].memory
        rounds = tuple(result.summary for result in results)
        kept = run.keep_model(memory) if memory else ""
        run.save(parameters, Progress(rounds=rounds, aggregation_memory=kept))
    return run, results
