from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from threading import Event, Thread

import httpx
import pytest
import yaml
from prediction_samples import MODEL, ordinary_lines, prediction
from prometheus_client.parser import text_string_to_metric_families

from crisp_client.monitoring import log
from crisp_client.monitoring.figures import reference_from
from crisp_client.monitoring.metrics import LogCollector, Watched, serve
from crisp_core.errors import ProcessError
from crisp_core.schema.prediction import PredictionLine

DEPLOY = Path(__file__).parents[2] / "deploy"
DASHBOARD = json.loads((DEPLOY / "grafana" / "crisp.json").read_text())
RULES = DEPLOY / "prometheus" / "crisp.rules.yaml"
QUERIES = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
ALERTS = [
    rule["expr"] for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]
]
promtool = pytest.mark.skipif(not shutil.which("promtool"), reason="apt-get install prometheus")


def written(folder: Path, lines: list[PredictionLine]) -> Path:
    (folder / "predictions.jsonl").write_text("".join(line.text() + "\n" for line in lines))
    return folder


def samples(collector: LogCollector) -> dict[tuple[str, ...], float]:
    """Every sample by its name and its label values, `le` included."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for metric in collector.collect()
        for sample in metric.samples
    }


def drifting(folder: Path) -> LogCollector:
    """A log of which the newest 40 cases have thicker slices, with flags and an empty structure."""
    thick = [
        line.model_copy(update={"spacing_mm": (10.0, 1.5, 1.5)})
        for line in ordinary_lines(40, seed=1)
    ]
    absent = prediction(
        99, volumes_ml={"ring": 0.0, "inner": 1.0}, flag="review", reasons=("uncertain",)
    )
    place = written(folder, [*thick, absent])
    return LogCollector(Watched(place, MODEL, reference_from(ordinary_lines(60))))


def test_counters_say_what_the_log_says(tmp_path: Path) -> None:
    lines = [
        *(prediction(n) for n in range(3)),
        prediction(3, flag="review", reasons=("entropy", "changed")),
        prediction(4, flag=None),
        prediction(5, volumes_ml={"ring": 0.0, "inner": 2.0}, latency_s=9.0),
    ]

    found = samples(LogCollector(Watched(written(tmp_path, lines))))

    name = MODEL[:12]
    assert found["crisp_predictions_total", name, "accept"] == 4
    assert found["crisp_predictions_total", name, "review"] == 1
    assert found["crisp_predictions_total", name, "none"] == 1
    assert found["crisp_reasons_total", name, "entropy"] == 1
    assert found["crisp_structures_absent_total", name, "ring"] == 1
    assert found["crisp_prediction_latency_seconds_bucket", name, "2.0"] == 5
    assert found["crisp_prediction_latency_seconds_bucket", name, "+Inf"] == 6
    assert found["crisp_prediction_latency_seconds_sum", name] == 5 * 1.25 + 9
    assert found["crisp_recent", name, "spacing:z"] == 8
    assert found["crisp_last_prediction_timestamp_seconds", name] == lines[-1].time.timestamp()
    assert found[("crisp_log_readable",)] == 1


def test_drift_is_served_where_a_model_has_a_reference(tmp_path: Path) -> None:
    found = samples(drifting(tmp_path))

    assert found["crisp_drift_alarm", MODEL[:12], "spacing:z"] == 1
    assert found["crisp_drift_alarm", MODEL[:12], "entropy"] == 0
    assert found["crisp_drift_p", MODEL[:12], "spacing:z"] < 0.01
    assert found["crisp_drift_window_cases", MODEL[:12]] == 40
    assert ("crisp_drift_psi", MODEL[:12], "entropy") in found


def test_no_sample_names_a_case(tmp_path: Path) -> None:
    collector = drifting(tmp_path)

    text = str(list(collector.collect()))

    for line in log.read(tmp_path).lines:
        assert line.pseudonym not in text
        assert line.input_hash not in text


def test_a_line_that_comes_later_is_served(tmp_path: Path) -> None:
    collector = LogCollector(Watched(tmp_path))
    assert samples(collector) == {("crisp_log_readable",): 0}

    log.append(tmp_path, prediction())
    assert samples(collector)["crisp_predictions_total", MODEL[:12], "accept"] == 1
    log.append(tmp_path, prediction(1))
    assert samples(collector)["crisp_predictions_total", MODEL[:12], "accept"] == 2


def test_damaged_lines_are_counted_and_the_others_served(tmp_path: Path) -> None:
    written(tmp_path, [prediction()])
    with (tmp_path / "predictions.jsonl").open("a") as file:
        file.write("half a li\n")

    found = samples(LogCollector(Watched(tmp_path)))

    assert found[("crisp_log_damaged_lines",)] == 1
    assert found["crisp_predictions_total", MODEL[:12], "accept"] == 1


def exported(folder: Path) -> dict[str, set[str]]:
    """Every name that is exported, with its labels."""
    return {
        sample.name: set(sample.labels)
        for metric in drifting(folder).collect()
        for sample in metric.samples
    }


@pytest.mark.parametrize("query", QUERIES + ALERTS)
def test_a_query_names_metrics_and_labels_that_are_exported(query: str, tmp_path: Path) -> None:
    known = exported(tmp_path)

    names = re.findall(r"\bcrisp_\w+", query)
    used = set(re.findall(r"(\w+)\s*=~?\"", query))
    used |= set(re.split(r"[,\s]+", " ".join(re.findall(r"by \(([^)]*)\)", query)))) - {""}

    assert [name for name in names if name not in known] == []
    if names:
        assert used <= set().union(*(known[name] for name in names))


def test_every_panel_has_a_legend_of_labels_that_its_query_keeps() -> None:
    for panel in DASHBOARD["panels"]:
        for target in panel["targets"]:
            for label in re.findall(r"{{(\w+)}}", target["legendFormat"]):
                assert label == "figure" or f"by ({label})" in target["expr"], panel["title"]


@promtool
def test_promtool_accepts_the_rules_and_the_configuration() -> None:
    for words in (["rules", str(RULES)], ["config", str(RULES.with_name("prometheus.yaml"))]):
        done = subprocess.run(
            ["promtool", "check", *words], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


@promtool
def test_alerts_fire_when_they_should_and_only_then(tmp_path: Path) -> None:
    """A quiet hour, then a figure that moved, six flags in ten, and a damaged line."""
    labels = 'job="crisp", model="abab"'
    series = {
        f'crisp_drift_alarm{{{labels}, figure="spacing:z"}}': "0x60 1x200",
        f'crisp_predictions_total{{{labels}, flag="accept"}}': "0+1x40 40x220",
        f'crisp_predictions_total{{{labels}, flag="review"}}': "0x60 0+1x60 60x140",
        'crisp_log_damaged_lines{job="crisp"}': "0x100 1x160",
    }
    alert = {"figure": "spacing:z", "job": "crisp", "model": "abab", "severity": "critical"}
    checks = [
        {"eval_time": "50m", "alertname": "CrispDrift", "exp_alerts": []},
        {"eval_time": "50m", "alertname": "CrispLogDamaged", "exp_alerts": []},
        {"eval_time": "50m", "alertname": "CrispManyFlags", "exp_alerts": []},
    ]
    unit = {
        "rule_files": [str(RULES)],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": s, "values": v} for s, v in series.items()],
                "alert_rule_test": checks,
                "promql_expr_test": [
                    {
                        "expr": 'count(ALERTS{alertname="CrispDrift",alertstate="firing"})',
                        "eval_time": "200m",
                        "exp_samples": [{"value": 1, "labels": "{}"}],
                    },
                    {
                        "expr": 'count(ALERTS{alertname="CrispManyFlags",alertstate="firing"})',
                        "eval_time": "240m",
                        "exp_samples": [{"value": 1, "labels": "{}"}],
                    },
                    {
                        "expr": 'count(ALERTS{alertname="CrispLogDamaged",alertstate="firing"})',
                        "eval_time": "120m",
                        "exp_samples": [{"value": 1, "labels": "{}"}],
                    },
                    {
                        "expr": 'count(ALERTS{alertname="CrispStructuresAbsent"})',
                        "eval_time": "240m",
                        "exp_samples": [],
                    },
                ],
            }
        ],
    }
    assert alert["figure"] in next(iter(series))
    place = tmp_path / "unit.yaml"
    place.write_text(yaml.safe_dump(unit))

    done = subprocess.run(
        ["promtool", "test", "rules", str(place)], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr


def served(place: Path, port: int = 0) -> tuple[str, Event, Thread]:
    stop, words = Event(), []
    thread = Thread(target=serve, args=(Watched(place), port, words.append, stop))
    thread.start()
    while not words:
        thread.join(0.01)
    return words[0].removeprefix("Metrics: "), stop, thread


def test_the_endpoint_is_read_as_prometheus_reads_it_on_loopback_alone(tmp_path: Path) -> None:
    address, stop, thread = served(written(tmp_path, [prediction()]))

    text = httpx.get(address).text
    stop.set()
    thread.join(5)

    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert families["crisp_predictions"].samples[0].value == 1
    assert address.startswith("http://127.0.0.1:")


def test_a_port_that_is_taken_is_one_sentence(tmp_path: Path) -> None:
    address, stop, thread = served(tmp_path)
    port = int(address.split(":")[2].split("/")[0])

    with pytest.raises(ProcessError, match="Choose another with --port"):
        serve(Watched(tmp_path), port, print, Event())
    stop.set()
    thread.join(5)


WITHOUT = """
import sys
class No:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "prometheus_client":
            raise ImportError
sys.meta_path.insert(0, No())
from crisp_client.cli import main
main()
"""


@pytest.mark.slow
def test_a_missing_extra_is_one_sentence_with_the_pip_line(tmp_path: Path) -> None:
    words = [sys.executable, "-c", WITHOUT, "metrics", "--log", str(tmp_path)]

    done = subprocess.run(words, capture_output=True, text=True, check=False)

    assert done.returncode == 2
    assert 'pip install "crisp-fl[monitoring]"' in done.stderr
    assert "Traceback" not in done.stderr
