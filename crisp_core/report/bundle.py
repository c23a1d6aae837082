"""The reproducibility bundle: what another group needs to repeat a study, and no case of it."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import zipfile
from collections.abc import Mapping

from crisp_core.report.analysis.findings import findings
from crisp_core.report.model_card import card_markdown, card_sections
from crisp_core.report.repeat import portable, study_text
from crisp_core.report.run_sheets import run_sheets
from crisp_core.report.run_tables import run_tables
from crisp_core.report.sheets.files import FORMATS
from crisp_core.schema.messages import Evaluation
from crisp_core.schema.summary import RunSummary

EPOCH = (1980, 1, 1, 0, 0, 0)
"""The first day that a zip file can name: the same run gives the same bytes."""
READABLE = 0o644 << 16
README = """# How to repeat {name}

`study.toml` is the study without the places of its data; `run.json` holds seed, versions, commands
and hashes. `splits.csv` says, site by site, how many cases and patients were measured for what, and
the SHA-256 of the sorted pseudonyms of those cases, one a line: a site that holds the key can make
the same list and compare. `tables/` has every table of the report as CSV, JSON, LaTeX and Markdown,
`model-card.md` what the model is and is not. `SHA256SUMS` names every file of this bundle.

No image, no mask, no case and no patient is in it, under no name.

    crisp simulate study.toml        # after adding data = "FOLDER" to every site
"""


def bundle(summary: RunSummary) -> bytes:
    """Return a zip file of a run; the same run gives the same bytes."""
    files = {name: text.encode() for name, text in bundle_files(summary).items()}
    sums = "".join(f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in files.items())
    return _zipped({**files, "SHA256SUMS": sums.encode()})


def bundle_files(summary: RunSummary) -> dict[str, str]:
    """Return the texts of the bundle by their names, sorted."""
    tables = run_tables(summary)
    found = findings(summary, [result.site for result in tables.results])
    written = {
        f"tables/{sheet.name}.{suffix}": write(sheet)
        for sheet in run_sheets(summary, tables, found).values()
        for suffix, write in FORMATS.items()
    }
    files = {
        "README.md": README.format(name=summary.study.name),
        "study.toml": study_text(summary.study),
        "run.json": _run_text(summary),
        "splits.csv": split_text(summary),
        "model-card.md": card_markdown(summary, card_sections(summary)),
        **written,
    }
    return dict(sorted(files.items()))


def split_text(summary: RunSummary) -> str:
    """List who was measured for what: counts, and a hash in place of the pseudonyms."""
    chosen = next(
        (g for g in summary.generations if g.generation == summary.selected_generation), None
    )
    validation = chosen.validation if chosen else {}
    rows = [
        (purpose, site, own.split, len(own.cases), _patients(own), _fingerprint(own))
        for purpose, answers in (("validation", validation), ("final", summary.final))
        for site, own in sorted(answers.items())
    ]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("purpose", "site", "split", "cases", "patients", "sha256_of_pseudonyms"))
    writer.writerows(rows)
    return out.getvalue()


def _run_text(summary: RunSummary) -> str:
    value = {
        "study_hash": summary.study_hash,
        "model_hash": summary.model_hash,
        "generation_models": [generation.model_hash for generation in summary.generations],
        "selected_generation": summary.selected_generation,
        "seed": summary.study.seed,
        "engine": summary.engine,
        "started": summary.started,
        "versions": summary.versions,
        "commands": [portable(command) for command in summary.commands],
        "warnings": list(summary.warnings),
        "degraded": summary.degraded,
    }
    return json.dumps(value, indent=1, sort_keys=True) + "\n"


def _patients(own: Evaluation) -> int:
    return len({case.patient for case in own.cases})


def _fingerprint(own: Evaluation) -> str:
    lines = "".join(f"{name}\n" for name in sorted(case.case for case in own.cases))
    return hashlib.sha256(lines.encode()).hexdigest()


def _zipped(files: Mapping[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for name, data in sorted(files.items()):
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.create_system, entry.external_attr = 3, READABLE
            archive.writestr(entry, data)
    return out.getvalue()
