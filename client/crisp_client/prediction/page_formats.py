"""The formats for a reader: one page as PDF or as a picture; needs the extra `pdf`."""

from __future__ import annotations

from pathlib import Path

from crisp_client.prediction.result import Result
from crisp_core.files.atomic import write_bytes
from crisp_core.report.overview import Overview, Views, shown_slices, table_rows, views_of
from crisp_core.report.overview_pdf import overview_pdf
from crisp_core.report.overview_png import overview_png
from crisp_core.schema.answer import REASONS

HEADER = ("structure", "volume / ml", "core / ml", "support / ml")


def write_pdf(folder: Path, result: Result) -> None:
    """Write the overview as `overview.pdf`."""
    write_bytes(folder / "overview.pdf", overview_pdf(overview_of(result)))


def write_png(folder: Path, result: Result) -> None:
    """Write the overview as `overview.png`."""
    write_bytes(folder / "overview.png", overview_png(overview_of(result)))


def overview_of(result: Result) -> Overview:
    """Gather what the page says."""
    grid, record = result.case.volume.grid, result.record
    rows, columns = grid.shape[1] * grid.spacing_mm[1], grid.shape[2] * grid.spacing_mm[2]
    found = {n: (s.volume_ml, s.core_ml, s.support_ml) for n, s in record.structures.items()}
    return Overview(
        case=record.case,
        facts=_facts(result),
        decision=record.flag.decision if record.flag else "",
        reasons=tuple(REASONS[code] for code in record.flag.reasons) if record.flag else (),
        slices=_views(result),
        height_per_width=rows / columns,
        header=HEADER,
        rows=table_rows(found),
        limits=record.limits,
    )


def _facts(result: Result) -> tuple[str, ...]:
    grid, record, model = result.case.volume.grid, result.record, result.model
    spacing = " x ".join(f"{mm:.4g}" for mm in grid.spacing_mm)
    size = " x ".join(map(str, grid.shape))
    passes = f"recursion {record.chosen} of {record.recursions} answers"
    windows = f", {record.windows} windows a slice" if record.windows > 1 else ""
    kept = ", ".join(record.largest_component)
    lines = [
        f"Image: {size} voxels (slices, rows, columns) of {spacing} mm"
        + (", DICOM series" if record.source else ""),
        f"Model: {model.study.name}, {record.model_hash[:12]}; {passes}{windows}",
        f"Made {record.created} by CRISP-FL {record.versions['crisp-fl']}",
    ]
    if kept:
        lines.append(f"Only the largest connected part was kept of: {kept}")
    return tuple(lines)


def _views(result: Result) -> tuple[Views, ...]:
    answer, unsure = result.answer, result.answer.uncertainty
    return tuple(
        views_of(
            place + 1,
            result.case.volume.array[0, place],
            answer.labels[place],
            (answer.core[place], answer.support[place]),
            unsure[place],
        )
        for place in shown_slices(answer.labels)
    )
