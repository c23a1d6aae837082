"""Commands of a person who looked at an answer: feedback."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from crisp_client.cli.app import DEFAULT_HOME, HomeOption, app, human, told


@app.command()
def feedback(
    answer: Annotated[Path, typer.Argument(help="Folder of one case that `predict` wrote.")],
    verdict: Annotated[
        Literal["accept", "edit", "reject"], typer.Argument(help="What became of the answer.")
    ],
    reason: Annotated[str, typer.Option(help="Why, in a sentence; it stays at this site.")],
    edited: Annotated[
        Path | None, typer.Option(help="The mask that came back: NIfTI, DICOM-SEG or RTSTRUCT.")
    ] = None,
    images: Annotated[
        Path | None, typer.Option(help="Folder of the series that a DICOM mask lies on.")
    ] = None,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Record what a person made of an answer; the answer itself is not touched.

    Example: crisp-client feedback answers/case edit --edited corrected.nii.gz --reason "apex"
    """
    with told():
        from crisp_client.home import SiteHome
        from crisp_client.prediction.feedback import Judgement, record_feedback
        from crisp_client.prediction.folder import read_record
        from crisp_client.settings import load_settings
        from crisp_core.trust.ledger import Ledger

        site = SiteHome(home)
        if site.settings.exists():
            path, key = site.ledger, load_settings(site.settings).pseudonym_key
        else:
            path, key = answer.resolve().parent / "feedback.jsonl", read_record(answer).model_hash
        judgement = Judgement(verdict, reason, edited, images)
        kept = record_feedback(answer, judgement, Ledger(path), key)
    found = "".join(f", Dice of {name} {value:.3f}" for name, value in kept.dice.items())
    words = f"{verdict} recorded as number {kept.number}{found} -> {path}"
    human.print(words, markup=False, soft_wrap=True)
