"""A coordinator that is hostile or dies at the worst moment; loaded by sitecustomize beside it.

It asks one hospital for what the hospital must refuse, with its own true key where it has to.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path


def patch_messages(module, order: Callable[..., dict], note: Callable[[dict], None]) -> None:
    """Let what goes out to one hospital be other than what the study is."""
    honest = module.message_of

    def message_of(question, *rest):
        message = honest(question, *rest)
        plan = json.loads(question.plan or "{}")
        told = order(question.action, plan.get("round_number"))
        if told.get("site") == question.site:
            DEEDS[told["deed"]](message)
            note(told)
        return message

    module.message_of = message_of


def patch_atomic(module, orders: Callable[[], list], note: Callable[[dict], None]) -> None:
    """Die in the middle of writing a file, once for each order."""
    honest = module._write_through  # noqa: SLF001 - where a power cut would strike
    done = Path(os.environ["CRISP_HOSTILE"] + ".done")

    def write_through(path, data):
        for told in orders():
            if told["deed"] != "die-writing" or len(data) < told["least_bytes"]:
                continue
            deaths = done.read_text().count("die-writing") if done.exists() else 0
            if deaths < told["deaths"]:
                path.write_bytes(bytes(data)[: len(data) // 2])
                note(told)
                os.kill(os.getpid(), signal.SIGKILL)
        honest(path, data)

    module._write_through = write_through  # noqa: SLF001 - as above


def _config(message):
    return message.content.config_records["config"]


def _unsigned_study(message) -> None:
    _config(message)["study-signature"] = ""


def _altered_study(message) -> None:
    """Change the study and keep the signature of the true one."""
    _config(message)["study"] = _other_study(message)


def _unapproved_study(message) -> None:
    """Sign another study: nobody at the hospital has approved it."""
    from crisp_core.trust.keys import load_signing_key
    from crisp_core.trust.signature import sign

    home = Path(os.environ["CRISP_HOSTILE"]).parent / "crisp-home"
    key = load_signing_key(home / "trust" / "signing.pem")
    text = _other_study(message)
    _config(message)["study"] = text
    _config(message)["study-signature"] = sign(key, "study", text)


def _other_study(message) -> str:
    text = str(_config(message)["study"])
    other = text.replace('"seed":3', '"seed":4')
    assert other != text
    return other


def _greedy_plan(message) -> None:
    """Ask for more passes over the images than the hospital's policy gives."""
    plan = json.loads(str(_config(message)["plan"]))
    _config(message)["plan"] = json.dumps({**plan, "steps": 10**9})


def _leaking_layer(message) -> None:
    """Send a layer that the study's network does not have, to carry something out."""
    import numpy as np
    from sitecustomize import arrays_in, record_of

    arrays = arrays_in(message.content.array_records["arrays"])
    arrays["leak.weight"] = np.zeros((64, 64), np.float32)
    message.content["arrays"] = record_of(arrays)


def _other_protocol(message) -> None:
    _config(message)["protocol"] = 99


DEEDS = {
    "unsigned-study": _unsigned_study,
    "altered-study": _altered_study,
    "unapproved-study": _unapproved_study,
    "greedy-plan": _greedy_plan,
    "leaking-layer": _leaking_layer,
    "other-protocol": _other_protocol,
}
