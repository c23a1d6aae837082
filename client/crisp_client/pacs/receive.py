"""A C-STORE SCP: who may send, how much, and where it is put."""

from __future__ import annotations

import shutil
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pynetdicom import AE, evt
from pynetdicom.association import Association

from crisp_client.pacs.inbox import Inbox
from crisp_client.pacs.tls import OwnTls, listening_context
from crisp_core.errors import CrispError, ProcessError
from crisp_core.files.atomic import write_bytes
from crisp_core.files.dicom.exchange import OBJECTS, ObjectName, object_name
from crisp_core.files.dicom.opening import SYNTAXES

VERIFICATION = "1.2.840.10008.1.1"
SUCCESS, OUT_OF_RESOURCES, MISMATCH, NOT_UNDERSTOOD = 0x0000, 0xA700, 0xA900, 0xC000
MEGABYTE = 1 << 20
ASK_EVERY_S = 30.0
"""How often a PACS is asked for the count of one series."""


@dataclass(frozen=True)
class Door:
    """Who may send what to whom.

    Attributes:
        callers: AE titles that may send; anybody else is turned away.
        ae_title: Ours; whoever calls another is turned away.
        bind: Address to listen on; the machine's own loopback unless told otherwise.
        port: TCP port; 0 for any.
        largest_bytes: Of one object; a sender of more is cut off.
        most_objects: In one series.
        most_series: Being received at once.
        spare_bytes: That stay free on the disk.
        most_senders: At once.
        tls: Our certificate; None: in the clear.
    """

    callers: Sequence[str]
    ae_title: str = "CRISP"
    bind: str = "127.0.0.1"
    port: int = 11112
    largest_bytes: int = 1024 * MEGABYTE
    most_objects: int = 10_000
    most_series: int = 1_000
    spare_bytes: int = 1024 * MEGABYTE
    most_senders: int = 10
    tls: OwnTls | None = None


@dataclass
class Receiver:
    """What arrives, filed; knows which series still have a sender on the line."""

    inbox: Inbox
    door: Door
    say: Callable[[str], None]
    lock: threading.RLock = field(default_factory=threading.RLock)
    _names: dict[str, ObjectName] = field(default_factory=dict)
    _open: dict[Association, set[str]] = field(default_factory=lambda: defaultdict(set))
    _asked: dict[str, tuple[float, int | None]] = field(default_factory=dict)
    _bytes: dict[Association, int] = field(default_factory=lambda: defaultdict(int))

    def is_open(self, series: str) -> bool:
        """Tell whether somebody who sent objects of a series is still on the line."""
        with self.lock:
            return any(series in senders for senders in self._open.values())

    def expected_of(
        self, series: str, count: Callable[[str, str], int | None] | None
    ) -> int | None:
        """Return how many objects a series has, as they or a PACS say; None if nobody knows."""
        if series not in self._names:
            first = next(iter(self.inbox.objects("receiving", series)), None)
            if first is None:
                return None
            self._names[series] = object_name(first)
        name = self._names[series]
        if name.expected or count is None:
            return name.expected
        asked_s, known = self._asked.get(series, (-ASK_EVERY_S, None))
        if time.monotonic() - asked_s >= ASK_EVERY_S:
            known = count(name.study_uid, series)
            self._asked[series] = (time.monotonic(), known)
        return known

    def store(self, event: evt.Event) -> int:
        """File one object; on the disk before the sender hears that it was stored."""
        with self.lock:
            self._bytes[event.assoc] = 0
        try:
            return self._store(event)
        except CrispError as error:
            self.say(f"refused an object: {error}")
            return NOT_UNDERSTOOD

    def count(self, event: evt.Event) -> None:
        """Cut off whoever sends more than an object may have."""
        with self.lock:
            self._bytes[event.assoc] += len(event.data)
            too_much = self._bytes[event.assoc] > self.door.largest_bytes
        if too_much:
            self.say(f"cut off a sender: more than {self.door.largest_bytes} bytes in one object")
            event.assoc.abort()

    def released(self, event: evt.Event) -> None:
        """Note for every series of a sender that it ended in good order."""
        with self.lock:
            for series in self._open.pop(event.assoc, set()):
                self.inbox.release(series)

    def gone(self, event: evt.Event) -> None:
        """Forget a sender that ended in any other way."""
        with self.lock:
            self._open.pop(event.assoc, None)
            self._bytes.pop(event.assoc, None)

    def _store(self, event: evt.Event) -> int:
        if shutil.disk_usage(self.inbox.path).free < self.door.spare_bytes:
            self.say("refused an object: the disk is full")
            return OUT_OF_RESOURCES
        arrived = self.inbox.temporary("receiving")
        write_bytes(arrived, event.encoded_dataset())
        try:
            name = object_name(arrived)
            announced = getattr(event.request, "AffectedSOPInstanceUID", None)
            if name.sop_uid != str(announced):
                self.say("refused an object: it is not the one that was announced")
                return MISMATCH
            return self._file(arrived, name, event.assoc)
        finally:
            arrived.unlink(missing_ok=True)

    def _file(self, arrived: Path, name: ObjectName, sender: Association) -> int:
        folder = self.inbox.at("receiving", name.series_uid)
        with self.lock:
            known = len(self.inbox.series_in("receiving"))
            if not folder.exists() and known >= self.door.most_series:
                self.say(f"refused a series: {known} are being received")
                return OUT_OF_RESOURCES
            folder.mkdir(exist_ok=True)
            target = folder / f"{name.sop_uid}.dcm"
            if len(self.inbox.objects("receiving", name.series_uid)) >= self.door.most_objects:
                self.say(f"refused an object: its series has {self.door.most_objects}")
                return OUT_OF_RESOURCES
            if target.exists() and target.read_bytes() != arrived.read_bytes():
                self.say("refused an object: another one of that UID is here")
                return MISMATCH
            arrived.rename(target)
            self._open[sender].add(name.series_uid)
            self._names[name.series_uid] = name
        return SUCCESS


@contextmanager
def serving(receiver: Receiver) -> Iterator[int]:
    """Listen until the block ends; yields the port.

    Raises:
        ProcessError: If the address cannot be listened on.
        UsageError: If a file of `tls` cannot be read.
    """
    door = receiver.door
    context = listening_context(door.tls) if door.tls else None
    ae = AE(ae_title=door.ae_title)
    ae.require_called_aet = True
    ae.require_calling_aet = list(door.callers)
    ae.maximum_associations = door.most_senders
    ae.network_timeout = 60
    ae.add_supported_context(VERIFICATION)
    for sop_class in OBJECTS:
        ae.add_supported_context(sop_class, list(SYNTAXES))
    handlers: list[Any] = [
        (evt.EVT_C_STORE, receiver.store),
        (evt.EVT_DATA_RECV, receiver.count),
        (evt.EVT_RELEASED, receiver.released),
        (evt.EVT_ABORTED, receiver.gone),
        (evt.EVT_CONN_CLOSE, receiver.gone),
    ]
    try:
        server = ae.start_server(
            (door.bind, door.port), block=False, ssl_context=context, evt_handlers=handlers
        )
    except OSError as error:
        raise ProcessError(
            expected=f"an address to listen on, {door.bind}:{door.port}",
            got=error.strerror or "an error of the network",
            where="listen",
            fix="Name another --port or --bind, or stop what listens there",
        ) from None
    try:
        yield int(server.server_address[1]) if server is not None else door.port
    finally:
        ae.shutdown()
