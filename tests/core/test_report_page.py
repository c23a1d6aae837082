from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
from report_samples import HELD_OUT, case, evaluation, panels, run_summary

from crisp_core.report.comparison import write_comparison
from crisp_core.report.page import page, run_tables, write_report
from crisp_core.report.tables import DICE, case_value
from crisp_core.schema.summary import RunSummary

VOID = {"meta", "img", "br", "input", "hr", "link"}


class Reader(HTMLParser):
    """Collects words and attributes, and fails on tags that do not close in order."""

    def __init__(self) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.words: list[str] = []
        self.links: list[str] = []
        self.identities: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.stack.append(tag)
        self.links += [value or "" for key, value in attrs if key in {"src", "href", "xlink:href"}]
        self.identities += [value or "" for key, value in attrs if key == "id"]

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"script", "style", "title"} & set(self.stack):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def read(html: str) -> Reader:
    reader = Reader()
    reader.feed(html)
    reader.close()
    assert reader.stack == []
    return reader


def rendered(summary: RunSummary, **more: Any) -> Reader:
    return read(page(summary, run_tables(summary), **more))


@pytest.fixture
def written(tmp_path: Path) -> tuple[str, ...]:
    """The pages of a run with and without pictures, and of a comparison."""
    summary = run_summary()
    runs = [(method, seed, run_summary(seed=seed)) for method in ("a", "b") for seed in (0, 1)]
    places = (
        write_report(summary, tmp_path / "with", panels({"image": "aGk="})),
        write_report(summary, tmp_path / "without"),
        write_comparison(runs, tmp_path / "comparison"),
    )
    return tuple(place.read_text(encoding="utf-8") for place in places)


def test_pages_refer_to_nothing_outside_themselves(written: tuple[str, ...]) -> None:
    for html in written:
        reader = read(html)
        inside = {f"#{identity}" for identity in reader.identities}
        assert all(link.startswith("data:") or link in inside for link in reader.links)
        assert not re.search(r"https?:|//\w|@import|url\(|<link", html)


def test_the_one_script_of_a_page_is_the_one_that_it_allows_by_its_hash(
    written: tuple[str, ...],
) -> None:
    for html in written:
        script = html.split("<script>")[1].split("</script>")[0]
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert html.count("<script") == 1
        assert f"default-src 'none'; script-src 'sha256-{digest}';" in html
        assert not re.search(r"fetch|XMLHttp|import|eval|innerHTML|localStorage", script)


def test_a_page_without_its_script_has_every_row_and_no_dead_control(
    written: tuple[str, ...],
) -> None:
    for html in written:
        assert not re.search(r"<(button|input|form|select)\b", html)
        assert not re.search(r"<(tr|td|th|table)[^>]*\b(hidden|style)\b", html)


def test_pages_have_one_first_heading_and_unique_identities(written: tuple[str, ...]) -> None:
    for html in written:
        reader = read(html)
        assert html.count("<h1") == 1
        assert len(reader.identities) == len(set(reader.identities))


def test_the_verdict_names_the_worst_held_out_site_first() -> None:
    summary = run_summary()

    text = rendered(summary).text

    dice = fmean(
        case_value(one.answer, DICE, summary.study.classes) or 0
        for one in summary.final["vendor-d"].cases
    )
    verdict = text.index(f"Worst hospital: vendor-d , mean Dice {dice:.3f} (95")
    assert "n = 16 cases of 8 patients" in text[verdict : verdict + 120]
    assert verdict < text.index("vendor-e") < text.index("vendor-a")


def test_the_table_shows_the_hand_computed_means() -> None:
    summary = run_summary()

    text = rendered(summary).text

    for site in HELD_OUT:
        cases = summary.final[site].cases
        for name in summary.study.classes:
            figures = [one.answer.structures[name] for one in cases]
            dice, hd95 = fmean(f.dice for f in figures), fmean(f.hd95_mm for f in figures)
            assert re.search(rf"{name} {dice:.3f} ± [\d.]+ [\d.]+ to [\d.]+ {hd95:.1f} ±", text)


def test_a_name_with_a_tag_in_it_is_text() -> None:
    summary = run_summary(warnings=("<script>alert(1)</script>",))
    hostile = summary.final["vendor-d"].cases[0].model_copy(update={"case": '"><img src=x>'})
    final = summary.final["vendor-d"].model_copy(update={"cases": (hostile,)})
    ledger = ({"site": "<script>x</script>", "<b>": 1},)
    summary = summary.model_copy(
        update={
            "final": {**summary.final, "vendor-d": final},
            "ledger": ledger,
            "engine": "<script>",
        }
    )

    html = page(summary, run_tables(summary), panels({'"><script>': '"><script>'}))

    assert html.count("<script") == 1
    assert "<img src=x" not in html
    assert "<script>alert(1)</script>" in read(html).text


def test_degraded_rounds_are_named_with_their_reason() -> None:
    text = rendered(run_summary()).text

    assert text.count("DEGRADED: vendor-c missing in round 1 (no answer within 3600 s)") == 1
    assert "vendor-c: no answer within 3600 s" in text


def test_who_was_missing_stands_above_everything_else_and_first_in_the_json(tmp_path: Path) -> None:
    write_report(run_summary(), tmp_path)

    main = (tmp_path / "report.html").read_text().split("<main>")[1].strip()
    assert main.startswith('<p class="degraded" role="alert">DEGRADED: vendor-c')
    report = json.loads((tmp_path / "report.json").read_text())
    assert next(iter(report.items())) == ("degraded", run_summary().degraded)


def test_a_run_in_which_nobody_was_missing_does_not_say_so() -> None:
    summary = run_summary()
    rounds = tuple(entry.model_copy(update={"missing": {}}) for entry in summary.rounds)

    assert "DEGRADED" not in rendered(summary.model_copy(update={"rounds": rounds})).text


def test_held_out_sites_that_beat_the_sources_are_questioned() -> None:
    cautions = run_tables(run_summary(shift=0.25)).cautions

    assert any("score no lower than the sources" in sentence for sentence in cautions)


def test_a_held_out_site_that_trained_voids_its_figures() -> None:
    summary = run_summary()
    first = summary.rounds[0]
    trained = {**first.trained, "vendor-d": first.trained["vendor-a"]}
    leaked = first.model_copy(update={"trained": trained})
    summary = summary.model_copy(update={"rounds": (leaked, *summary.rounds[1:])})

    text = rendered(summary).text
    assert "Not held out: vendor-d" in text
    assert "It took no part in training" not in text


def test_a_run_without_held_out_figures_says_what_it_cannot_say() -> None:
    summary = run_summary()
    sources = {site: summary.final[site] for site in summary.study.sources}

    text = rendered(summary.model_copy(update={"final": sources})).text

    assert "No figures from vendor-d and vendor-e" in text
    assert "says nothing about hospitals that did not train" in text
    assert "Worst source (no hospital was held out): vendor-b" in text


def test_a_site_without_cases_has_dashes_and_a_caution() -> None:
    summary = run_summary()
    empty = evaluation("vendor-d", 0.7, "all", count=0)
    text = rendered(summary.model_copy(update={"final": {**summary.final, "vendor-d": empty}})).text

    assert "No figures from vendor-d" in text
    assert "Worst hospital: vendor-d , which measured no case" in text


def test_a_method_of_one_pass_has_nothing_to_compare() -> None:
    summary = run_summary()
    crisp = summary.study.crisp.model_copy(update={"hint": "none"})
    once = {
        site: measured.model_copy(
            update={"cases": tuple(case(site, i, 0.8, recursions=1) for i in range(4))}
        )
        for site, measured in summary.final.items()
    }
    study = summary.study.model_copy(update={"crisp": crisp})

    text = rendered(summary.model_copy(update={"study": study, "final": once})).text

    assert "This method looks at an image once" in text
    assert "Cases answered" not in text


def test_pictures_come_worst_first_or_not_at_all() -> None:
    summary = run_summary()

    drawn = rendered(summary, panels=panels({"image": "aGk="})).text
    plain = rendered(summary).text

    assert drawn.index("Worst case") < drawn.index("Median case") < drawn.index("Best case")
    assert "pictures never leave a hospital" in plain


def test_the_numbers_beside_the_page_hold_the_whole_summary(tmp_path: Path) -> None:
    summary = run_summary()

    write_report(summary, tmp_path)

    value = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert RunSummary.model_validate_json(json.dumps(value["summary"])) == summary
    assert value["tables"]["results"][0]["site"] == "vendor-d"


def test_the_same_summary_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_report(run_summary(), tmp_path / name)

    for file in ("report.html", "report.json"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
