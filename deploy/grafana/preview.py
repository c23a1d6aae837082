"""Draw the dashboard from its own file: every query asked of a real Prometheus, made-up data.

    python deploy/grafana/preview.py dashboard.svg

needs Debian's `prometheus`. Two months of predictions, four a day; in the second month slices
become thicker and entropy rises. This is not Grafana's drawing: it shows what the queries give.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from html import escape
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.exposition import generate_latest

from crisp_client.monitoring.figures import reference_from
from crisp_client.monitoring.metrics import LogCollector, Watched
from crisp_core.schema.prediction import IntensitySummary, PredictionLine

HERE = Path(__file__).parent
LETTER = 6.4
"""Width of a letter of the legends, in pixels."""
ADDRESS = "127.0.0.1:19095"
DAYS, A_DAY, STEP_S = 60, 4, 43_200
COLOURS = ("#2a6f97", "#c1666b", "#6a994e", "#e0a458", "#7b5ea7", "#4d908e", "#8d6b4f")
MODEL = "3f9c1b2a7d4e" + "0" * 52
UNIT = 46
BACKGROUND = '<rect width="100%" height="100%" fill="#f4f5f5"/>'


def line_at(number: int, end: datetime, rng: np.random.Generator) -> PredictionLine:
    """Make up one prediction; from the middle on the scanner is another one."""
    late = number >= DAYS * A_DAY // 2
    entropy = float((0.28 if late else 0.2) * np.exp(0.2 * rng.normal()))
    flagged = entropy > 0.27
    return PredictionLine(
        time=end - timedelta(days=DAYS) + timedelta(days=number / A_DAY),
        pseudonym=f"{number:012x}",
        input_hash=f"{number:064x}",
        model_hash=MODEL,
        flag="review" if flagged else "accept",
        reasons=("entropy",) if flagged else (),
        entropy=entropy,
        volumes_ml={
            "LV": float(120 * np.exp(0.25 * rng.normal())),
            "MYO": 0.0 if rng.random() < 0.03 else float(95 * np.exp(0.2 * rng.normal())),
        },
        intensity=(IntensitySummary(low=2.0, median=110 + 8 * rng.normal(), high=420.0),),
        spacing_mm=(10.0 if late else 8.0, 1.4, 1.4),
        latency_s=float(1.2 + rng.random()),
    )


def scraped(end: datetime, folder: Path) -> str:
    """Replay the log and write down what a scrape would have said every half day."""
    rng = np.random.default_rng(1)
    lines = [line_at(number, end, rng) for number in range(DAYS * A_DAY)]
    reference = reference_from([line_at(0, end, rng) for _ in range(100)])
    found: dict[str, list[str]] = {}
    kinds: dict[str, str] = {}
    for step in range(DAYS * 86_400 // STEP_S + 1):
        now = end - timedelta(days=DAYS) + timedelta(seconds=step * STEP_S)
        known = [line for line in lines if line.time <= now]
        (folder / "predictions.jsonl").write_text("".join(f"{one.text()}\n" for one in known))
        registry = CollectorRegistry()
        registry.register(LogCollector(Watched(folder, MODEL, reference)))
        family = ""
        for row in generate_latest(registry).decode().splitlines():
            if row.startswith("# TYPE"):
                family = row.split()[2]
                kinds[family] = row.split()[3]
            elif not row.startswith("#"):
                found.setdefault(family, []).append(f"{row} {int(now.timestamp())}")
    parts = [
        "\n".join([f"# TYPE {name} {kinds[name]}", *sorted(rows)]) for name, rows in found.items()
    ]
    return "\n".join([*parts, "# EOF\n"])


def asked(query: str, begin: datetime, end: datetime) -> list[dict[str, Any]]:
    """Ask Prometheus for a query's lines."""
    words = {"query": query, "start": begin.timestamp(), "end": end.timestamp(), "step": STEP_S}
    answer = httpx.get(f"http://{ADDRESS}/api/v1/query_range", params=words, timeout=30).json()
    if answer["status"] != "success":
        sys.exit(f"{query}: {answer['error']}")
    rows: list[dict[str, Any]] = answer["data"]["result"]
    return rows


def drawn(dashboard: dict[str, Any], answers: dict[int, list[dict[str, Any]]]) -> str:
    """Lay the panels out as the file does."""
    height = max(p["gridPos"]["y"] + p["gridPos"]["h"] for p in dashboard["panels"]) * 26
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {24 * UNIT} {height}"'
    parts = [f'{head} font-family="sans-serif" font-size="12">', BACKGROUND]
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        x, y, w, h = place["x"] * UNIT, place["y"] * 26, place["w"] * UNIT, place["h"] * 26
        parts.append(
            f'<g transform="translate({x + 4},{y + 4})"><rect width="{w - 8}" height="{h - 8}" '
            f'fill="#fff" stroke="#d0d3d6"/><text x="10" y="19" font-weight="600">'
            f"{escape(panel['title'])}</text>{body(panel, answers[panel['id']], w - 8, h - 8)}</g>"
        )
    return "\n".join([*parts, "</svg>\n"])


def body(panel: dict[str, Any], rows: list[dict[str, Any]], width: int, height: int) -> str:
    """Draw one panel's newest value, or its lines with their ends named."""
    unit = panel["fieldConfig"]["defaults"]["unit"]
    if panel["type"] == "stat":
        value = float(rows[0]["values"][-1][1]) if rows else 0.0
        shown = {"percentunit": f"{value:.0%}", "s": f"{value / 3600:.1f} h"}
        text = shown.get(unit, f"{value:.3g}")
        place = f'x="{width / 2}" y="{height / 2 + 22}"'
        return f'<text {place} font-size="34" text-anchor="middle">{text}</text>'
    values = [[float(v) for _, v in row["values"] if v != "NaN"] for row in rows]
    top = max((max(v, default=0) for v in values), default=1) or 1
    begin = min((row["values"][0][0] for row in rows), default=0)
    last = max((row["values"][-1][0] for row in rows), default=1)
    parts = []
    for share in (0.0, 0.5, 1.0):
        level = height - 40 - share * (height - 80)
        parts.append(
            f'<line x1="44" x2="{width - 12}" y1="{level}" y2="{level}" stroke="#e6e8ea"/>'
        )
        parts.append(
            f'<text x="40" y="{level + 4}" text-anchor="end" fill="#666">{share * top:.3g}</text>'
        )
    x, y = 44.0, height - 20
    for number, row in enumerate(rows):
        points = " ".join(
            f"{44 + (when - begin) / max(1, last - begin) * (width - 56):.1f},"
            f"{height - 40 - float(value) / top * (height - 80):.1f}"
            for when, value in row["values"]
            if value != "NaN"
        )
        colour = COLOURS[number % len(COLOURS)]
        parts.append(
            f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.6"/>'
        )
        name = escape(
            next(
                (v for k, v in row["metric"].items() if k not in {"__name__", "model", "job"}),
                panel["targets"][0]["legendFormat"],
            )
        )
        if x + LETTER * len(name) > width - 12:
            x, y = 44.0, y + 13
        parts.append(f'<text x="{x}" y="{y}" fill="{colour}">{name}</text>')
        x += LETTER * len(name) + 14
    return "".join(parts)


def main(out: Path) -> None:
    """Fill a Prometheus, ask it every query of the dashboard and draw the answers."""
    dashboard = json.loads((HERE / "crisp.json").read_text())
    end = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=3)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "log").mkdir()
        (folder / "metrics.txt").write_text(scraped(end, folder / "log"))
        (folder / "none.yaml").write_text("")
        words = ["promtool", "tsdb", "create-blocks-from", "openmetrics"]
        subprocess.run(
            [*words, folder / "metrics.txt", folder / "data"], check=True, capture_output=True
        )
        server = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={folder / 'none.yaml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                "--storage.tsdb.retention.time=1y",
                f"--web.listen-address={ADDRESS}",
            ],
            stderr=subprocess.DEVNULL,
        )
        try:
            wait_until_ready()
            begin = end - timedelta(days=DAYS - 1)
            answers = {
                panel["id"]: [
                    row
                    for target in panel["targets"]
                    for row in asked(target["expr"].replace("$model", MODEL[:12]), begin, end)
                ]
                for panel in dashboard["panels"]
            }
        finally:
            server.terminate()
            server.wait()
    for panel in dashboard["panels"]:
        print(f"{panel['title']}: {len(answers[panel['id']])} lines")
    out.write_text(drawn(dashboard, answers))


def wait_until_ready() -> None:
    """Wait until Prometheus answers, a minute at most."""
    for _ in range(120):
        try:
            if httpx.get(f"http://{ADDRESS}/-/ready", timeout=1).status_code == httpx.codes.OK:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.5)
    sys.exit("prometheus did not become ready")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
