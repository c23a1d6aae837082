"""The only open port: nginx ends the TLS of the hospitals and passes two paths, nothing else.

Behind it are Flower's own interfaces without a password: a path that is not named here must never
reach them.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from crisp_core.errors import MissingExtraError
from crisp_server.deployment.settings import CoordinatorSettings
from crisp_server.home import CoordinatorHome

LARGEST_MESSAGE = "16m"
"""Flower cuts arrays into 5 MB; the rest is room for their names and the configuration."""


def program() -> str:
    """Return the path of the nginx program.

    Raises:
        MissingExtraError: If there is none.
    """
    places = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"])
    found = shutil.which("nginx", path=places)
    if found is None:
        raise MissingExtraError(
            expected="the program nginx",
            got="none",
            where=places,
            fix="Install it: sudo apt-get install nginx-light",
        )
    return found


def command(home: CoordinatorHome) -> tuple[str, ...]:
    """Return the command that serves the configuration of this home in the foreground."""
    folder = (home.running / "nginx").resolve()
    return (program(), "-e", "stderr", "-p", str(folder), "-c", str(folder / "nginx.conf"))


def write_configuration(home: CoordinatorHome, settings: CoordinatorSettings) -> Path:
    """Write nginx.conf and the folders it needs; return its path."""
    folder = (home.running / "nginx").resolve()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "nginx.conf"
    path.write_text(configuration(home, settings), encoding="utf-8")
    return path


def configuration(home: CoordinatorHome, settings: CoordinatorSettings) -> str:
    """Write nginx.conf.

    The path that goes on is the one that was matched, with `..`, `//` and `%2e` resolved: nginx and
    what is behind it cannot read it differently.
    """
    folder = (home.running / "nginx").resolve()
    trust = {
        "certificate": home.certificate.resolve(),
        "key": home.certificate_key.resolve(),
        "authority": home.authority.resolve(),
    }
    return _CONFIGURATION.format(
        user="user root;" if os.geteuid() == 0 else "",
        folder=folder,
        listen=settings.listen,
        superlink=settings.superlink,
        join=f"127.0.0.1:{settings.join_port}",
        message=LARGEST_MESSAGE,
        **trust,
    )


_CONFIGURATION = """\
# Written by `crisp up` at every start: changes are lost.
daemon off;
{user}
pid "{folder}/nginx.pid";
error_log stderr warn;
worker_processes 1;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    server_tokens off;
    default_type application/octet-stream;
    client_body_temp_path "{folder}/body";
    proxy_temp_path "{folder}/proxy";
    fastcgi_temp_path "{folder}/fastcgi";
    uwsgi_temp_path "{folder}/uwsgi";
    scgi_temp_path "{folder}/scgi";

    limit_conn_zone $binary_remote_addr zone=hosts:1m;
    limit_req_zone $binary_remote_addr zone=joins:1m rate=5r/s;
    limit_req_status 429;
    limit_conn_status 429;

    client_max_body_size {message};
    client_header_timeout 60s;
    client_body_timeout 300s;
    send_timeout 300s;
    proxy_connect_timeout 10s;
    proxy_send_timeout 600s;
    proxy_read_timeout 600s;
    proxy_http_version 1.1;

    upstream superlink {{
        server {superlink} max_fails=0;
        keepalive 16;
        keepalive_timeout 3s;  # the SuperLink hangs up after 5
    }}

    server {{
        listen {listen} ssl;
        server_name _;
        ssl_certificate "{certificate}";
        ssl_certificate_key "{key}";
        ssl_protocols TLSv1.2 TLSv1.3;
        ssl_ciphers ECDHE+AESGCM:ECDHE+CHACHA20;
        ssl_session_cache shared:hospitals:1m;
        ssl_session_tickets off;
        limit_conn hosts 256;

        location /v1/fleet/ {{
            limit_except POST {{ deny all; }}
            proxy_pass https://superlink/v1/fleet/;
            proxy_set_header Host $host;
            proxy_set_header Connection "";
            proxy_ssl_verify on;
            proxy_ssl_name localhost;
            proxy_ssl_server_name on;
            proxy_ssl_trusted_certificate "{authority}";
            proxy_ssl_protocols TLSv1.2 TLSv1.3;
        }}
        location = /v1/join {{
            limit_except POST {{ deny all; }}
            limit_req zone=joins burst=20 nodelay;
            client_max_body_size 64k;
            proxy_pass http://{join};
        }}
        location = /v1/fleet {{ return 403; }}
        location / {{ return 403; }}
    }}
}}
"""
