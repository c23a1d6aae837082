"""The log as Prometheus metrics, on this machine alone.

Every scrape reads the log anew if it has changed: whoever predicts needs no running server, and a
restart forgets nothing. A label names a model, a structure, a flag or a figure; never a case.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from statistics import median
from threading import Event

from crisp_client.home import SiteHome
from crisp_client.monitoring import log
from crisp_client.monitoring.compare import compare
from crisp_client.monitoring.figures import columns
from crisp_core.errors import CrispError, MissingExtraError, ProcessError
from crisp_core.schema.drift import DriftReference, DriftReport
from crisp_core.schema.prediction import PredictionLine
from crisp_core.schema.released import ReleasedModel

try:
    from prometheus_client import start_http_server
    from prometheus_client.core import (
        CounterMetricFamily,
        GaugeMetricFamily,
        HistogramMetricFamily,
        Metric,
    )
    from prometheus_client.registry import Collector, CollectorRegistry
except ImportError:
    raise MissingExtraError(
        expected="prometheus-client to serve metrics",
        got="an installation without it",
        where="crisp-client metrics",
        fix='Run pip install "crisp-fl[monitoring]"',
    ) from None

LOOPBACK = "127.0.0.1"
RECENT = 40
"""Predictions that a gauge describes, and that are compared with the reference."""
LATENCY_BUCKETS_S = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0)
NAME_LENGTH = 12


@dataclass(frozen=True)
class Watched:
    """What is served: a log, and for one model what its predictions are compared with."""

    place: SiteHome | Path
    model_hash: str = ""
    reference: DriftReference | None = None

    @classmethod
    def of(cls, place: SiteHome | Path, model: ReleasedModel | None) -> Watched:
        """Watch a log; with a model also its drift."""
        return cls(place) if model is None else cls(place, model.model_hash, model.reference)


class LogCollector(Collector):
    """Turns a log into metrics whenever it is asked to."""

    def __init__(self, watched: Watched) -> None:
        self._watched = watched
        self._known: tuple[log.Stamp, list[Metric]] | None = None

    def collect(self) -> Iterator[Metric]:
        """Yield every metric; a log that cannot be read is itself one."""
        stamp = log.stamp_of(self._watched.place)
        if self._known is None or self._known[0] != stamp:
            self._known = stamp, list(self._metrics())
        yield from self._known[1]

    def describe(self) -> list[Metric]:
        """Say nothing beforehand: the registry need not read a log to know the names."""
        return []

    def _metrics(self) -> Iterator[Metric]:
        try:
            reading = log.read(self._watched.place)
        except CrispError:
            yield _gauge("crisp_log_readable", "1 if the prediction log can be read.", {(): 0})
            return
        yield _gauge("crisp_log_readable", "1 if the prediction log can be read.", {(): 1})
        yield _gauge(
            "crisp_log_damaged_lines",
            "Lines of the log that cannot be read.",
            {(): len(reading.damaged)},
        )
        ordered = sorted(reading.lines, key=lambda line: (line.model_hash, line.time))
        models = {
            model[:NAME_LENGTH]: list(lines)
            for model, lines in groupby(ordered, key=lambda line: line.model_hash)
        }
        yield from _counters(models)
        yield _latency(models)
        yield from _recent(models)
        yield from self._drifted(models.get(self._watched.model_hash[:NAME_LENGTH], []))

    def _drifted(self, lines: Sequence[PredictionLine]) -> Iterator[Metric]:
        """Yield what a comparison of the newest predictions with the reference says."""
        if self._watched.reference is not None and lines:
            yield from _drift(compare(lines[-RECENT:], self._watched.reference, "model"))


def serve(watched: Watched, port: int, say: Callable[[str], None], stop: Event) -> None:
    """Serve metrics on the loopback interface until `stop` is set.

    Raises:
        ProcessError: If the port is taken.
    """
    registry = CollectorRegistry()
    registry.register(LogCollector(watched))
    try:
        server, thread = start_http_server(port, addr=LOOPBACK, registry=registry)
    except OSError as error:
        raise ProcessError(
            expected="a port that is free",
            got=error.strerror or "one that is not",
            where=f"{LOOPBACK}:{port}",
            fix="Choose another with --port",
        ) from None
    say(f"Metrics: http://{LOOPBACK}:{server.server_port}/metrics")
    stop.wait()
    server.shutdown()
    thread.join()
    server.server_close()


def _counters(models: dict[str, list[PredictionLine]]) -> Iterator[Metric]:
    flags: Counter[tuple[str, str]] = Counter(
        (m, line.flag or "none") for m, lines in models.items() for line in lines
    )
    yield _counter(
        "crisp_predictions", "Predictions by what the risk rule said.", ("model", "flag"), flags
    )
    reasons = Counter(
        (m, reason) for m, lines in models.items() for line in lines for reason in line.reasons
    )
    yield _counter("crisp_reasons", "Reasons of flags.", ("model", "reason"), reasons)
    empty = Counter(
        (m, structure)
        for m, lines in models.items()
        for line in lines
        for structure, volume in line.volumes_ml.items()
        if volume == 0
    )
    words = "Predictions in which a structure was not found."
    yield _counter("crisp_structures_absent", words, ("model", "structure"), empty)


def _latency(models: dict[str, list[PredictionLine]]) -> Metric:
    metric = HistogramMetricFamily(
        "crisp_prediction_latency_seconds",
        "From the opened image to the written answer.",
        labels=["model"],
    )
    for model, lines in models.items():
        seconds = [line.latency_s for line in lines]
        buckets = [(str(b), float(sum(s <= b for s in seconds))) for b in LATENCY_BUCKETS_S]
        metric.add_metric([model], [*buckets, ("+Inf", float(len(seconds)))], sum(seconds))
    return metric


def _recent(models: dict[str, list[PredictionLine]]) -> Iterator[Metric]:
    """Describe the newest predictions of each model by medians."""
    newest = {model: lines[-1].time.timestamp() for model, lines in models.items()}
    yield _gauge(
        "crisp_last_prediction_timestamp_seconds",
        "When the newest prediction was made.",
        {(model,): when for model, when in newest.items()},
        ("model",),
    )
    figures: dict[tuple[str, ...], float] = {
        (model, name): median(values)
        for model, lines in models.items()
        for name, values in columns(lines[-RECENT:]).items()
    }
    words = f"Median over the newest {RECENT} predictions."
    yield _gauge("crisp_recent", words, figures, ("model", "figure"))


def _drift(report: DriftReport) -> Iterator[Metric]:
    model = report.model_hash[:NAME_LENGTH]
    labels = ("model", "figure")
    yield _gauge(
        "crisp_drift_window_cases",
        "Predictions that are compared with the reference.",
        {(model,): report.cases},
        ("model",),
    )
    yield _gauge(
        "crisp_drift_alarm",
        "1 if a figure has moved away from the reference.",
        {(model, one.feature): float(one.alarm) for one in report.findings},
        labels,
    )
    yield _gauge(
        "crisp_drift_p",
        "Smallest adjusted p of a figure's tests.",
        {(model, one.feature): min(one.p.values()) for one in report.findings},
        labels,
    )
    yield _gauge(
        "crisp_drift_psi",
        "Population stability index of a figure.",
        {(model, one.feature): one.psi for one in report.findings if one.psi is not None},
        labels,
    )


def _counter(
    name: str, words: str, labels: Sequence[str], values: Counter[tuple[str, str]]
) -> Metric:
    metric = CounterMetricFamily(name, words, labels=labels)
    for key, count in sorted(values.items()):
        metric.add_metric(list(key), count)
    return metric


def _gauge(
    name: str, words: str, values: dict[tuple[str, ...], float], labels: Sequence[str] = ()
) -> Metric:
    metric = GaugeMetricFamily(name, words, labels=labels)
    for key, value in sorted(values.items()):
        metric.add_metric(list(key), value)
    return metric
