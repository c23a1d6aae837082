from __future__ import annotations

import json
import socket
import urllib.error
import urllib.request

import pytest

from crisp_core.processes.probes import Standing, probes


def asked(port: int, path: str) -> tuple[int, dict[str, object]]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            body = error.read()
            return error.code, json.loads(body) if body.startswith(b"{") else {}


def test_live_and_ready_follow_the_standing_of_the_moment() -> None:
    now = [Standing(live=True, ready=False, facts={"why": "refused"})]

    with probes(0, lambda: now[0]) as port:
        assert asked(port, "/live") == (200, {"live": True, "why": "refused"})
        assert asked(port, "/ready") == (503, {"ready": False, "why": "refused"})
        now[0] = Standing(live=False, ready=True)
        assert asked(port, "/live")[0] == 503
        assert asked(port, "/ready")[0] == 200
        assert asked(port, "/else")[0] == 404


def test_a_client_that_says_nothing_keeps_nobody_waiting() -> None:
    with (
        probes(0, lambda: Standing(live=True, ready=True)) as port,
        socket.create_connection(("127.0.0.1", port)),
    ):
        assert asked(port, "/live")[0] == 200


def test_probes_listen_on_this_machine_only_and_let_go_of_the_port() -> None:
    with probes(0, lambda: Standing(live=True, ready=True)) as port:
        pass

    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=1)
