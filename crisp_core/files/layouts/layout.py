"""What every layout gives, and how it is told from the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from crisp_core.errors import DataError
from crisp_core.files.cohort import SUFFIXES, Case, Flaw
from crisp_core.files.meanings import Meanings


@dataclass(frozen=True)
class DataSet:
    """What a folder holds; no image was opened.

    Attributes:
        layout: Name of the layout that it was read by.
        cases: Those that are whole, with the numbers of their own files.
        meanings: What the numbers in the masks stand for; None where only the study knows.
        flaws: What is wrong, each with its case where it is about one.
        remarks: What a person should know, in sentences.
        channels: Names of the images' channels, as far as the data set has them.
    """

    layout: str
    cases: tuple[Case, ...]
    meanings: Meanings | None = None
    flaws: tuple[Flaw, ...] = ()
    remarks: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()


@dataclass(frozen=True)
class Layout:
    """One way in which a data set lies on a disk.

    Attributes:
        name: What a person types.
        looks_for: What `matches` looks for, in words.
        matches: Tells by names alone whether a folder is laid out like this.
        read: Lists the cases of such a folder.
    """

    name: str
    looks_for: str
    matches: Callable[[Path], bool]
    read: Callable[[Path], DataSet]


def stem(path: Path) -> str | None:
    """Return a volume's name without its suffix; None for any other file, `._` copies among them.

    Examples:
        >>> stem(Path("a_gt.nii.gz")), stem(Path("._a.nii.gz")), stem(Path("a.txt"))
        ('a_gt', None, None)
    """
    suffix = next((suffix for suffix in SUFFIXES if path.name.endswith(suffix)), None)
    return None if suffix is None or path.name.startswith(".") else path.name.removesuffix(suffix)


def volumes(folder: Path) -> dict[str, Path]:
    """Map the name without suffix to the file, for every volume right in a folder."""
    if not folder.is_dir():
        return {}
    return {name: path for path in sorted(folder.iterdir()) if (name := stem(path)) is not None}


def folders(folder: Path) -> list[Path]:
    """List the folders right in a folder that are not hidden, by name."""
    if not folder.is_dir():
        return []
    return sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))


def fault(case_id: str | None, expected: str, got: str, fix: str) -> DataError:
    """Say what is wrong with a case, or with the data set where there is none."""
    where = f"case {case_id!r}" if case_id else "the data set"
    return DataError(expected=expected, got=got, where=where, fix=fix)


def flaw(case_id: str | None, expected: str, got: str, fix: str) -> Flaw:
    """Make a flaw of a fault."""
    return Flaw(case_id, fault(case_id, expected, got, fix))


def collected(
    readers: Iterable[tuple[str, Callable[[], Iterable[Case]]]],
) -> tuple[tuple[Case, ...], tuple[Flaw, ...]]:
    """Read one subject after the other; one that is wrong hides no other.

    Args:
        readers: Name of a subject, and what lists its cases or raises DataError.

    Returns:
        The cases by name, and the flaws.
    """
    cases: list[Case] = []
    flaws: list[Flaw] = []
    for name, read in readers:
        try:
            cases.extend(read())
        except DataError as error:
            flaws.append(Flaw(name, error))
    doubles = [name for name, count in Counter(c.case_id for c in cases).items() if count > 1]
    fix = "Rename one of them"
    flaws += [flaw(name, "one case of a name", "several", fix) for name in doubles]
    return tuple(sorted(cases, key=lambda case: case.case_id)), tuple(flaws)


def leading_out(folder: Path, cases: Iterable[Case]) -> Iterator[Flaw]:
    """Find files elsewhere: a study must not read what nobody put into its folder."""
    home = (folder if folder.is_dir() else folder.parent).resolve()
    for case in cases:
        if not all(p.resolve().is_relative_to(home) for p in (*case.images, case.label)):
            fix = "Copy the file into the folder, or set follow_links in site.toml"
            yield flaw(case.case_id, "files inside the folder", "one elsewhere", fix)
