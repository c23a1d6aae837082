"""A hospital with keys, policy and ledger, as it is after joining; and its coordinator's pen."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from federation_on_disk import tiny_study

from crisp_client.approval import approve, write_policy
from crisp_client.errand import short_address
from crisp_client.home import SiteHome
from crisp_client.settings import load_settings
from crisp_core.schema.manifest import SiteSettings
from crisp_core.schema.signed_study import SignedStudy
from crisp_core.schema.study import Study
from crisp_core.trust.keys import load_signing_key, make_signing_key, public_pem
from crisp_core.trust.signed_study import sign_study

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
START_S = 60.0


@dataclass(frozen=True)
class Hospital:
    """A site's home, its study and the coordinator's private key."""

    home: SiteHome
    study: Study
    coordinator: Ed25519PrivateKey

    @property
    def settings(self) -> SiteSettings:
        return load_settings(self.home.settings)

    @property
    def signed(self) -> SignedStudy:
        return sign_study(self.coordinator, self.study)

    @property
    def site_pem(self) -> str:
        return public_pem(load_signing_key(self.home.signing_key))

    @property
    def coordinator_pem(self) -> str:
        return public_pem(self.coordinator)

    def set(self, **options: Any) -> None:
        """Change options of the policy, as a person does."""
        text = self.home.policy.read_text()
        for name, value in options.items():
            line = f"{name} = {json.dumps(value)}"
            text = re.sub(rf"(?m)^(# )?{name} = .*$", lambda _, line=line: line, text, count=1)
        self.home.policy.write_text(text)


def hospital(
    folder: Path, site: str = "east", *, min_cohort: int = 1, approved: bool = True, **sections: Any
) -> Hospital:
    """Make a site that has joined, on the images of the tiny study."""
    study, home = tiny_study(folder, **sections), SiteHome(folder / "homes" / site)
    make_signing_key(home.signing_key)
    make_signing_key(folder / f"{site}-coordinator.pem")
    coordinator = load_signing_key(folder / f"{site}-coordinator.pem")
    home.coordinator_key.write_text(public_pem(coordinator))
    home.settings.write_text(
        f'site = "{site}"\ndata = ["{study.sites[site].data[0]}"]\nwork = "{home.path / "work"}"\n'
        'device = "cpu"\nthreads = 1\npseudonym_key = "secret"\ncoordinator = "127.0.0.1:8443"\n'
    )
    (home.path / "work").mkdir()
    write_policy(home, min_cohort=min_cohort)
    made = Hospital(home, study, coordinator)
    if approved:
        approve(home, made.signed, NOW)
    return made


@contextmanager
def resident(home: SiteHome) -> Iterator[subprocess.Popen[bytes]]:
    """Start the resident of a home and wait until somebody listens."""
    command = [sys.executable, "-m", "crisp_client.resident", str(home.path)]
    process = subprocess.Popen(command, start_new_session=True)
    try:
        wait_for(home)
        yield process
    finally:
        process.kill()
        process.wait()


def wait_for(home: SiteHome) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        with socket.socket(socket.AF_UNIX) as connection:
            try:
                with short_address(home.resident) as address:
                    connection.connect(address)
            except OSError:
                time.sleep(0.05)
            else:
                return
    message = "the resident did not start"
    raise TimeoutError(message)
