"""A site's settings: `site.toml`, or its place in a simulation."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

from pydantic import ValidationError

from crisp_core.errors import UsageError
from crisp_core.schema.manifest import SiteSettings


def load_settings(path: Path) -> SiteSettings:
    """Read a site's settings.

    Raises:
        UsageError: If the file is absent or says something unknown.
    """
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
        return SiteSettings.model_validate_json(json.dumps(raw, default=str))
    except OSError as error:
        got = "none" if not path.exists() else error.strerror or "an error of the disk"
        fix = "Name this site's folder with --home, or make one: crisp-client join TOKEN"
    except ValidationError as error:
        fault = error.errors()[0]
        got, fix = ": ".join([*map(str, fault["loc"]), fault["msg"]]), "Correct that line"
    except (ValueError, RecursionError) as error:  # not TOML, or not UTF-8
        got, fix = str(error), "Mend that line, or restore the file from a backup"
    raise UsageError(expected="a site's settings", got=got, where=str(path), fix=fix)


def settings_of_partition(run_folder: Path, partition: int) -> SiteSettings:
    """In a simulation, node number `partition` is the site of that place in the alphabet."""
    folders = sorted(path for path in (run_folder / "sites").iterdir() if path.is_dir())
    return load_settings(folders[partition] / "site.toml")


def explained(settings: SiteSettings) -> str:
    """Write `site.toml` with every option explained.

    JSON's strings, numbers, lists and truths are TOML's too.
    """
    lines = ["# Settings of this site, owned by the hospital; `crisp-client start` reads them.\n"]
    for key, value in settings.model_dump(mode="json").items():
        lines.append(f"# {_MEANINGS[key]}\n{key} = {json.dumps(value, ensure_ascii=False)}\n")
    return "\n".join(lines)


_MEANINGS = {
    "site": "Name under which the coordinator knows this site.",
    "data": "Folders with images/, labels/ and, if wanted, cases.csv. Only read, never written.",
    "layout": 'How files lie there: "house" is the above, "auto" guesses; "mnms", "bids" …',
    "select": 'Which cases of them count, such as ["vendor=A", "part=training"]; [] takes all.',
    "also": 'More places, each as ["FOLDER", "LAYOUT", ["CONDITION"]].',
    "work": "Folder that the client writes: caches, hints, logs of its work. Needs room on disk.",
    "device": 'Where to compute: "auto" (a GPU if there is one), "cpu", "cuda" or "cuda:1".',
    "threads": "CPU threads; 0 means every core, or what OMP_NUM_THREADS says.",
    "pseudonym_key": "Secret. Only with it can a pseudonym be resolved to its case.",
    "cache": 'Folder of prepared slices; "" means `cache` inside `work`.',
    "coordinator": "HOST:PORT of the coordinator: the only address that this site connects to.",
    "unreadable_share": "Share of the cases that may be unreadable (0.02: two in a hundred): they\n"
    "# are left out and counted. Above it the site takes no part.",
    "follow_links": "Whether links in the data folders may point out of them.",
    "resident": "Whether one process stays that has everything loaded. false saves memory between\n"
    "# messages and costs the loading of everything at each.",
}
