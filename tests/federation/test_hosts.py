"""The network that the other tests of this folder stand on."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest
from federation.hosts import hosts, needs_hosts, remove_leftovers
from federation.tcp_proxy import Proxy

pytestmark = [pytest.mark.flower, pytest.mark.timeout(60), needs_hosts]

LISTEN = "import socket; s = socket.create_server(('', 9)); print('on', flush=True); s.accept()"
CONNECT = "import socket, sys; socket.create_connection((sys.argv[1], 9), 1)"


def namespaces() -> str:
    command = ["ip", "netns", "list"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_hosts_reach_one_another_and_nothing_else() -> None:
    with (
        hosts("a", "b") as net,
        net["a"].start(sys.executable, "-c", LISTEN, stdout=subprocess.PIPE) as listener,
    ):
        listener.stdout.readline()

        near = net["b"].run(sys.executable, "-c", CONNECT, net["a"].address)
        far = net["b"].run(sys.executable, "-c", CONNECT, "192.0.2.1")
        listener.kill()

    assert near.returncode == 0
    assert "unreachable" in far.stderr


def test_a_cut_line_is_silent_and_can_be_mended() -> None:
    with (
        hosts("a", "b") as net,
        net["a"].start(sys.executable, "-c", LISTEN, stdout=subprocess.PIPE) as listener,
    ):
        listener.stdout.readline()

        net["b"].cut()
        cut = net["b"].run(sys.executable, "-c", CONNECT, net["a"].address)
        net["b"].mend()
        mended = net["b"].run(sys.executable, "-c", CONNECT, net["a"].address)
        listener.kill()

    assert "timed out" in cut.stderr
    assert mended.returncode == 0


def test_whatever_runs_on_a_host_ends_with_it() -> None:
    with hosts("a") as net:
        sleeper = net["a"].start("sleep", "600")
        while net["a"].process_ids() == []:
            time.sleep(0.01)

    assert sleeper.wait(5) == -9
    assert f"crisp-fl-{os.getpid()}-" not in namespaces()


def test_what_a_killed_test_process_left_behind_is_removed() -> None:
    code = "import os; from federation.hosts import hosts\nwith hosts('a'): os._exit(9)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    killed = subprocess.Popen([sys.executable, "-c", code], env=environment)
    killed.wait(30)
    assert f"crisp-fl-{killed.pid}-" in namespaces()

    remove_leftovers()

    assert f"crisp-fl-{killed.pid}-" not in namespaces()


ECHO = """
import socketserver
class Echo(socketserver.StreamRequestHandler):
    def handle(self):
        self.wfile.write(self.rfile.read(int(self.rfile.readline())))
server = socketserver.ThreadingTCPServer(("", 7), Echo)
print("on", flush=True)
server.serve_forever()
"""
TALK = """
import socket, sys, time
size = int(sys.argv[2])
with socket.create_connection((sys.argv[1], 7), 5) as s:
    began = time.monotonic()
    s.sendall(b"%d\\n" % size + b"x" * size)
    came = len(s.makefile("rb").read(size))
    print(came, time.monotonic() - began)
"""


@pytest.fixture(scope="module")
def line():
    """A echo server, a proxy before it and a caller."""
    with (
        hosts("server", "relay", "caller") as net,
        net["server"].start(
            sys.executable, "-c", ECHO, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as server,
    ):
        server.stdout.readline()
        proxy = Proxy(net["relay"], 7, f"{net['server'].address}:7")

        def talk(size: int) -> list[float]:
            address = net["relay"].address
            said = net["caller"].run(sys.executable, "-c", TALK, address, str(size))
            return [float(word) for word in said.stdout.split()]

        yield proxy, talk
        proxy.close()
        server.kill()


def test_the_proxy_forwards_delays_throttles_and_cuts(line) -> None:
    proxy, talk = line

    plain = talk(1000)
    proxy.order("delay", 0.3)
    late = talk(1000)
    proxy.order("pass")
    proxy.order("throttle", 50_000)
    slow = talk(50_000)
    proxy.order("cut")
    cut = talk(1000)
    proxy.order("pass")

    assert plain[0] == late[0] == 1000
    assert late[1] > 0.55
    assert slow[0] == 50_000
    assert slow[1] > 0.9
    assert cut[:1] in ([], [0])


def test_the_proxy_loses_one_answer_after_the_server_received_the_question(line) -> None:
    proxy, talk = line

    proxy.order("lose-answer", 100_000)
    small = talk(100)
    lost = talk(200_000)
    proxy.wait_until_lost()
    again = talk(200_000)

    assert small[0] == 100
    assert lost[:1] in ([], [0])
    assert again[0] == 200_000


def test_a_throttled_host_sends_no_faster_than_it_may() -> None:
    with (
        hosts("server", "caller") as net,
        net["server"].start(
            sys.executable, "-c", ECHO, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as server,
    ):
        server.stdout.readline()
        net["caller"].throttle(4)

        said = net["caller"].run(sys.executable, "-c", TALK, net["server"].address, "1000000")
        server.kill()

    assert float(said.stdout.split()[1]) > 1.5  # 8 Mbit at 4 Mbit/s, less what the bucket holds
