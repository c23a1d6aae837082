"""A site's folder as a list of cases, or the sentence that says what is wrong with it.

    site/  images/<case>.nii.gz   labels/<case>.nii.gz
           cases.csv: case,patient[,group,split,phase,vendor,spacing_mm]   (optional)

Channels are the fourth axis of an image, or files `<case>_0000.nii.gz`, `<case>_0001.nii.gz` …
Without the table each case is its own patient.
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from crisp_core.errors import DataError
from crisp_core.files.case_table import CaseRow, read_case_table

SUFFIXES = (".nii.gz", ".nii")
CHANNEL = re.compile(r"(?P<case>.+)_(?P<number>\d{4})")


@dataclass(frozen=True)
class Case:
    """One volume with its mask.

    Attributes:
        case_id: Name of the case, unique in its cohort.
        patient_id: Whose it is; several cases can be one patient's.
        images: One file, or one file a channel in order.
        label: The mask.
        group: Disease or any other group; empty if unknown.
        phase: As of the heart; empty if unknown.
        split: "train", "validation" or "test" if the site's table says so, else None.
        spacing_mm: Along D, H, W, where the table corrects what the file says, else None.
        frame: Which of the fourth axis of the files this case is, from 0; None where that axis,
            if there is one, holds channels.
        numbering: (number in the mask, number in the study); None where they are the same.
        site: Whose it is in a data set of several sites; empty in a folder of one.
        vendor: Who made the scanner; empty if unknown.
        part: Of a published data set, such as "training"; empty if it has no parts.
        never_empty: Whether a mask without any label must be a mistake.
    """

    case_id: str
    patient_id: str
    images: tuple[Path, ...]
    label: Path
    group: str = ""
    phase: str = ""
    split: str | None = None
    spacing_mm: tuple[float, float, float] | None = None
    frame: int | None = None
    numbering: tuple[tuple[int, int], ...] | None = None
    site: str = ""
    vendor: str = ""
    part: str = ""
    never_empty: bool = False

    @property
    def reading(self) -> str:
        """How the files become voxels, where that is not simply whole; empty where it is."""
        if self.frame is None and self.numbering is None:
            return ""
        return json.dumps([self.frame, self.numbering])


@dataclass(frozen=True)
class Cohort:
    """A site's cases in the order of their names, whose masks hold labels 0 to `class_count`."""

    site: str
    cases: tuple[Case, ...]
    class_count: int


@dataclass(frozen=True)
class Flaw:
    """An error and the case that it is about; None where it is about the folder."""

    case_id: str | None
    error: DataError


def read_cohort(folder: Path, site: str, class_count: int, *, follow_links: bool = False) -> Cohort:
    """Read one folder in the house format; no image is opened.

    Args:
        folder: In the house format.
        site: Whose it is.
        class_count: Masks may hold the labels 0 to this.
        follow_links: Whether its files may lie elsewhere.

    Raises:
        DataError: If the folder is not what it should be: the first flaw that was found.
    """
    cases, flaws = survey(folder, follow_links=follow_links)
    if flaws:
        raise flaws[0].error
    return Cohort(site, cases, class_count)


def read_cohorts(
    folders: Sequence[Path], site: str, class_count: int, *, follow_links: bool = False
) -> Cohort:
    """Read several folders as one cohort.

    A case whose name is in two folders gets its folder's name in front. A patient in two folders
    is one patient: cases of one person must never be on both sides of a split.

    Raises:
        DataError: As `read_cohort`, or if two cases of one name come from folders of one name.
    """
    parts = {
        folder: read_cohort(folder, site, class_count, follow_links=follow_links).cases
        for folder in folders
    }
    counts = Counter(case.case_id for cases in parts.values() for case in cases)
    joined = [
        replace(case, case_id=f"{folder.name}.{case.case_id}") if counts[case.case_id] > 1 else case
        for folder, cases in parts.items()
        for case in cases
    ]
    for name, count in Counter(case.case_id for case in joined).items():
        if count > 1:
            raise _flaw(f"one case {name!r}", f"{count}", name, "Rename one of the folders").error
    return Cohort(site, tuple(sorted(joined, key=lambda case: case.case_id)), class_count)


def images_in(folder: Path) -> dict[str, tuple[Path, ...]]:
    """Find the images of a folder, case by case and channel by channel; masks are not looked for.

    Raises:
        DataError: If two files claim one name, or a channel is missing.
    """
    flaws: list[Flaw] = []
    found = _channels(_by_stem(folder, "", flaws), (), flaws)
    if flaws:
        raise flaws[0].error
    return {name: found[name] for name in sorted(found)}


def survey(
    folder: Path, *, follow_links: bool = False
) -> tuple[tuple[Case, ...], tuple[Flaw, ...]]:
    """List the cases that are whole and everything that is wrong with the folder."""
    for name in ("", "images", "labels"):
        if not (folder / name).is_dir():
            return (), (_absent(folder, name),)
    flaws = [] if follow_links else list(_leading_out(folder))
    labels = _by_stem(folder, "labels", flaws)
    images = _channels(_by_stem(folder, "images", flaws), labels, flaws)
    if not images and not flaws:
        fix = f"Put NIfTI files ({' or '.join(SUFFIXES)}) there"
        flaws.append(_flaw("at least one case", "none in images/", None, fix))
    flaws.extend(_unpaired(images, labels))
    rows, table_flaws = _rows(folder, sorted(images))
    whole = [name for name in sorted(images) if name in labels and name in rows]
    cases = tuple(_case(rows[name], images[name], labels[name]) for name in whole)
    return cases, (*flaws, *table_flaws, *divided(cases))


def _case(row: CaseRow, images: tuple[Path, ...], label: Path) -> Case:
    return Case(
        case_id=row.case_id,
        patient_id=row.patient_id,
        images=images,
        label=label,
        group=row.group,
        phase=row.phase,
        vendor=row.vendor,
        split=row.split,
        spacing_mm=row.spacing_mm,
    )


def _leading_out(folder: Path) -> Iterator[Flaw]:
    """Find links to files elsewhere: a study must not read what nobody put into its folder."""
    home, fix = folder.resolve(), "Copy the file into the folder, or set follow_links in site.toml"
    for path in sorted([*(folder / "images").iterdir(), *(folder / "labels").iterdir()]):
        stem = _stem(path)
        if stem is not None and not path.resolve().is_relative_to(home):
            yield _flaw("files inside the folder", "a link out of it", stem, fix)
    if not (folder / "cases.csv").resolve().is_relative_to(home):
        yield Flaw(None, _error("a table inside the folder", "a link out of it", "cases.csv", fix))


def _stem(path: Path) -> str | None:
    """Return a volume's name without its suffix; None for any other file."""
    suffix = next((suffix for suffix in SUFFIXES if path.name.endswith(suffix)), None)
    return None if suffix is None or path.name.startswith(".") else path.name.removesuffix(suffix)


def _by_stem(folder: Path, part: str, flaws: list[Flaw]) -> dict[str, Path]:
    """Map name without suffix to file; double names are flaws."""
    found: dict[str, Path] = {}
    for path in sorted((folder / part).iterdir()):
        stem = _stem(path)
        if stem is None:
            continue
        if stem in found:
            got = f"{found[stem].name!r} and {path.name!r} in {part}/"
            flaws.append(_flaw("one file a name", got, stem, "Remove or rename one of them"))
        found[stem] = path
    return found


def _channels(
    files: Mapping[str, Path], labels: Iterable[str], flaws: list[Flaw]
) -> dict[str, tuple[Path, ...]]:
    """Gather `<case>_0000`, `<case>_0001` … unless a mask has that very name."""
    known, numbered = set(labels), defaultdict[str, dict[int, Path]](dict)
    for stem, path in files.items():
        match = None if stem in known else CHANNEL.fullmatch(stem)
        name, number = (match["case"], int(match["number"])) if match else (stem, 0)
        if number in numbered[name]:
            got = f"{numbered[name][number].name!r} and {path.name!r} in images/"
            flaws.append(_flaw("one image a case", got, name, "Remove or rename one of them"))
        numbered[name][number] = path
    for name, channels in numbered.items():
        if sorted(channels) != list(range(len(channels))):
            got = ", ".join(f"{number:04d}" for number in sorted(channels))
            fix = "Number the channels of a case from 0000 without a gap"
            flaws.append(_flaw(f"channels 0000 to {len(channels) - 1:04d}", got, name, fix))
    return {name: tuple(path for _, path in sorted(c.items())) for name, c in numbered.items()}


def _unpaired(images: Iterable[str], labels: Iterable[str]) -> Iterator[Flaw]:
    for name in sorted(set(images) - set(labels)):
        fix = "Add the mask under the image's name, or take the image out"
        yield _flaw("a mask in labels/", "none", name, fix)
    for name in sorted(set(labels) - set(images)):
        fix = "Add the image under the mask's name, or take the mask out"
        yield _flaw("an image in images/", "none", name, fix)


def _rows(folder: Path, names: Sequence[str]) -> tuple[dict[str, CaseRow], list[Flaw]]:
    """Match the table with the cases; without a table each case is its own patient."""
    path = folder / "cases.csv"
    if not path.exists():
        return {name: CaseRow(name, name) for name in names}, []
    try:
        rows = read_case_table(path)
    except DataError as error:
        return {}, [Flaw(None, error)]
    fix = "Make cases.csv list every case once, and no other"
    missing = sorted(set(names) - set(rows))
    spare = sorted(set(rows) - set(names))
    flaws = [_flaw("a row in cases.csv", "none", name, fix) for name in missing]
    flaws += [_flaw("an image for every row of cases.csv", "none", name, fix) for name in spare]
    return rows, flaws


def divided(cases: Iterable[Case]) -> Iterator[Flaw]:
    """Name every patient with cases on two sides of a split."""
    splits = defaultdict[str, set[str]](set)
    for case in cases:
        if case.split is not None:
            splits[case.patient_id].add(case.split)
            if len(splits[case.patient_id]) > 1:
                got = f"{' and '.join(sorted(splits[case.patient_id]))} for {case.patient_id!r}"
                fix = "Give all cases of a patient the same split in cases.csv"
                yield _flaw("one split a patient", got, case.case_id, fix)


def _absent(folder: Path, name: str) -> Flaw:
    wanted = f"a folder {name}/ in it" if name else "a folder"
    error = DataError(
        expected=wanted,
        got="none",
        where=str(folder),
        fix="Name the folder that holds images/ and labels/",
    )
    return Flaw(None, error)


def _flaw(expected: str, got: str, case_id: str | None, fix: str) -> Flaw:
    where = f"case {case_id!r}" if case_id is not None else "images/"
    return Flaw(case_id, _error(expected, got, where, fix))


def _error(expected: str, got: str, where: str, fix: str) -> DataError:
    return DataError(expected=expected, got=got, where=where, fix=fix)
