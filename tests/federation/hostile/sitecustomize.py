"""A hospital that is hostile or broken. Python imports this where PYTHONPATH names its folder.

The environment variable CRISP_HOSTILE names a file of orders (JSON), read at every message:

    [{"deed": "times", "factor": 100, "action": "train", "rounds": [2]}]

Without the file, or for another action or round, the hospital is honest. A deed changes the answer
after it has passed the hospital's own door, and signs it again with the hospital's key: what it
meets is the coordinator's defence alone. `{"deed": "speak"}` fails inside instead, with a name in
the error: what that meets is the hospital's own door.
"""

from __future__ import annotations

import hashlib
import importlib.abc
import importlib.util
import json
import os
import sys
import time
from functools import partial
from pathlib import Path

import coordinator_deeds

PATIENT = "Erika Mustermann"
ACTIONS = {
    "query.describe": "describe",
    "query.hints": "hints",
    "train": "train",
    "evaluate": "evaluate",
}


def orders() -> list[dict]:
    """Return what this hospital is to do wrong."""
    try:
        return json.loads(Path(os.environ["CRISP_HOSTILE"]).read_text())
    except (OSError, ValueError):
        return []


def order(action: str, round_number: int | None) -> dict:
    """Return the order for this action and round; empty: be honest."""
    for told in orders():
        in_time = "rounds" not in told or round_number in told["rounds"]
        if told.get("action", "train") == action and in_time:
            return told
    return {}


def misbehaving(honest):
    """Wrap the ClientApp's call."""

    def call(self, message, context):
        plan = json.loads(str(message.content.config_records["config"]["plan"]) or "{}")
        action = ACTIONS.get(message.metadata.message_type, "")
        told = order(action, plan.get("round_number"))
        if not told or told["deed"] == "speak":
            return honest(self, message, context)
        _note(told)
        before = BEFORE.get(told["deed"])
        if before:
            before(told)
        key = Path(str(context.node_config["site-settings"])).parent / "keys" / "signing.pem"
        reply = honest(self, message, context)
        after = AFTER.get(told["deed"])
        if after:
            after(Answer(reply, message, key), told)
        return reply

    return call


def arrays_in(record) -> dict:
    """Unpack arrays as they travel between machines, all of them in one."""
    from crisp_core.files.checkpoint import unpacked

    data = record["packed"].numpy().tobytes() if record else b""
    return {name: array.copy() for name, array in unpacked(data).items()} if data else {}


def record_of(arrays: dict):
    """Pack arrays as they travel."""
    import numpy as np
    from flwr.app import Array, ArrayRecord

    from crisp_core.files.checkpoint import packed

    return ArrayRecord({"packed": Array(np.frombuffer(packed(arrays, {}), np.uint8))})


class Answer:
    """A reply that can be changed and signed again."""

    def __init__(self, reply, message, key: Path) -> None:
        self.reply, self.key = reply, key
        self.config = reply.content.config_records["config"]
        self.plan = json.loads(str(message.content.config_records["config"]["plan"]) or "{}")
        self.sent = _unpacked(message.content.array_records["arrays"])
        self.arrays = _unpacked(reply.content.array_records["arrays"])

    def put(self, arrays) -> None:
        """Replace the arrays and sign the record of it."""
        import numpy as np
        from flwr.app import Array, ArrayRecord

        from crisp_core.files.checkpoint import packed

        self.arrays = arrays
        whole = np.frombuffer(packed(arrays, {}), np.uint8)
        self.reply.content["arrays"] = ArrayRecord({"packed": Array(whole)})
        self.sign()

    def sign(self, **changes: str) -> None:
        """Make the record fit the answer again, with `changes`, under the hospital's own key."""
        from crisp_core.files.checkpoint import content_hash
        from crisp_core.trust.keys import load_signing_key
        from crisp_core.trust.signature import sign

        record = json.loads(str(self.config["record"]))
        figures = str(self.config["figures"])
        record["returned"] = content_hash(self.arrays) if self.arrays else ""
        record["figures"] = hashlib.sha256(figures.encode()).hexdigest()
        text = json.dumps({**record, **changes}, sort_keys=True, separators=(",", ":"))
        self.config["record"] = text
        self.config["record-signature"] = sign(load_signing_key(self.key), "record", text)


def _unpacked(record) -> dict:
    """Return the arrays that travel packed as one."""
    from crisp_core.files.checkpoint import unpacked

    return unpacked(record["packed"].numpy().tobytes()) if "packed" in record else {}


def _times(answer: Answer, told: dict) -> None:
    """Move the other way, or much further: the change times a factor."""
    factor = told["factor"]
    answer.put(
        {
            name: (answer.sent[name] + factor * (array - answer.sent[name])).astype(array.dtype)
            for name, array in answer.arrays.items()
        }
    )


def _nan(answer: Answer, told: dict) -> None:
    del told
    name = next(name for name, array in answer.arrays.items() if array.dtype.kind == "f")
    answer.arrays[name].flat[0] = float("nan")
    answer.put(answer.arrays)


def _extra_layer(answer: Answer, told: dict) -> None:
    del told
    import numpy as np

    answer.put({**answer.arrays, "secret.weight": np.zeros(4, np.float32)})


def _transposed(answer: Answer, told: dict) -> None:
    """Transpose the first array that changes its shape by it."""
    del told
    import numpy as np

    name = next(n for n, a in answer.arrays.items() if a.shape != a.T.shape)
    answer.put({**answer.arrays, name: np.ascontiguousarray(answer.arrays[name].T)})


def _oversize(answer: Answer, told: dict) -> None:
    import numpy as np

    name = next(name for name, array in answer.arrays.items() if array.dtype == np.float32)
    answer.put({**answer.arrays, name: np.zeros(told["count_bytes"] // 4, np.float32)})


def _promise(answer: Answer, told: dict) -> None:
    """Send a few bytes whose header promises a terabyte."""
    del told
    import io

    import numpy as np
    from flwr.app import Array

    file, shape = io.BytesIO(), (1 << 40,)
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    array = Array(dtype="uint8", shape=shape, stype="numpy.ndarray", data=file.getvalue())
    answer.reply.content.array_records["arrays"]["packed"] = array
    answer.sign()


def _replay(answer: Answer, told: dict) -> None:
    """Keep the first answer, and give it again, as it was signed, ever after."""
    kept = Path(told["kept"])
    record = {key: str(answer.config[key]) for key in ("figures", "record", "record-signature")}
    if not kept.exists():
        import numpy as np

        np.savez(kept.with_suffix(".npz"), **answer.arrays)
        kept.write_text(json.dumps({**record, "names": list(answer.arrays)}))
        return
    import numpy as np

    old = json.loads(kept.read_text())
    with np.load(kept.with_suffix(".npz")) as arrays:
        answer.put({name: arrays[name] for name in old["names"]})
    for key in record:
        answer.config[key] = old[key]


def _other_study(answer: Answer, told: dict) -> None:
    del told
    answer.sign(study="0" * 64)


def _other_site(answer: Answer, told: dict) -> None:
    answer.sign(site=told["site"])
    answer.config["site"] = told["site"]


def _unsigned(answer: Answer, told: dict) -> None:
    del told
    answer.config["record-signature"] = ""


def _altered(answer: Answer, told: dict) -> None:
    """Change the arrays and leave the record as it was: someone on the way, not the hospital."""
    del told
    old = {key: answer.config[key] for key in ("record", "record-signature")}
    name = next(iter(answer.arrays))
    answer.arrays[name].flat[0] += 1
    answer.put(answer.arrays)
    for key, value in old.items():
        answer.config[key] = value


def _misspelt(answer: Answer, told: dict) -> None:
    """Write one word of the figures differently."""
    figures = str(answer.config["figures"]).replace(f'"{told["word"]}"', f'"{told["instead"]}"')
    answer.config["figures"] = figures
    answer.sign()


def _score(answer: Answer, told: dict) -> None:
    """Claim this Dice for every structure of every case, by the generation of the model."""
    figures = json.loads(str(answer.config["figures"]))
    for case in figures["cases"]:
        for recursion in case["recursions"]:
            for structure in recursion["structures"].values():
                structure["dice"] = told["dice"][str(answer.plan["generation"])]
    answer.config["figures"] = json.dumps(figures)
    answer.sign()


AFTER = {
    "times": _times,
    "nan": _nan,
    "extra-layer": _extra_layer,
    "transposed": _transposed,
    "oversize": _oversize,
    "promise": _promise,
    "replay": _replay,
    "other-study": _other_study,
    "other-site": _other_site,
    "unsigned": _unsigned,
    "altered": _altered,
    "misspelt": _misspelt,
    "score": _score,
    "late": lambda _, told: time.sleep(told["seconds"]),
}


def _hold(told: dict) -> None:
    """Do nothing for as long as the order stands."""
    while told in orders():
        time.sleep(0.1)


BEFORE = {
    "hold": _hold,
    "slow": lambda told: time.sleep(told["seconds"]),
    "never": lambda _: time.sleep(100_000),
    "crash": lambda _: os._exit(9),
}


def _note(told: dict) -> None:
    """Tell the test that the deed is being done."""
    with Path(os.environ["CRISP_HOSTILE"] + ".done").open("a") as file:
        file.write(told["deed"] + "\n")


def _patch_client_app(module) -> None:
    module.ClientApp.__call__ = misbehaving(module.ClientApp.__call__)


def _patch_training(module) -> None:
    """Let training end in an error that names a patient."""
    honest = module.train_round

    def train_round(*arguments, **options):
        told = order("train", arguments[2].round_number)
        if told.get("deed") == "speak":
            _note(told)
            message = f"cannot read /data/{PATIENT}/brain.nii.gz"
            raise RuntimeError(message)
        return honest(*arguments, **options)

    module.train_round = train_round


PATCHES = {
    "flwr.clientapp.client_app": _patch_client_app,
    "crisp_client.training": _patch_training,
    "crisp_server.flower.messages": partial(
        coordinator_deeds.patch_messages, order=order, note=_note
    ),
    "crisp_core.files.atomic": partial(coordinator_deeds.patch_atomic, orders=orders, note=_note),
}


class PatchAfterImport(importlib.abc.MetaPathFinder):
    """Patches a module as soon as it is loaded, before anybody takes a name from it."""

    def find_spec(self, name, path, target=None):
        if name not in PATCHES:
            return None
        sys.meta_path.remove(self)
        try:
            spec = importlib.util.find_spec(name)
        finally:
            sys.meta_path.insert(0, self)
        execute = spec.loader.exec_module

        def executed(module) -> None:
            execute(module)
            PATCHES[name](module)

        spec.loader.exec_module = executed
        return spec


def shift_clock(seconds: float) -> None:
    """Let this process believe that it is later, as a machine whose clock is wrong does."""
    import datetime as dt

    true_time, true_datetime = time.time, dt.datetime

    class WrongDatetime(true_datetime):
        @classmethod
        def now(cls, tz=None):
            return cls.fromtimestamp(true_time() + seconds, tz)

    time.time = lambda: true_time() + seconds
    dt.datetime = WrongDatetime


if "CRISP_HOSTILE" in os.environ:
    sys.meta_path.insert(0, PatchAfterImport())
if "CRISP_CLOCK_S" in os.environ:
    shift_clock(float(os.environ["CRISP_CLOCK_S"]))
