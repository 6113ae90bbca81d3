"""What travels on a socket of Realtime, in both serializers. For development and tests only."""

import json
from dataclasses import dataclass
from typing import Any

PUSH, BROADCAST = 3, 4
BYTES, JSON = 0, 1


@dataclass(frozen=True)
class Frame:
    topic: str
    event: str
    payload: Any
    ref: str | None = None
    join_ref: str | None = None


def read(text: str | None, binary: bytes | None, version: str) -> Frame:
    """Raises ValueError for what is no frame."""
    if binary is not None:
        return read_push(binary)
    said = json.loads(text or "")
    if version == "1.0.0":
        return Frame(said["topic"], said["event"], said["payload"], said.get("ref"))
    join_ref, ref, topic, event, payload = said
    return Frame(topic, event, payload, ref, join_ref)


def read_push(data: bytes) -> Frame:
    """A broadcast a client sends: the lengths of five names, how the body is written, all six."""
    if len(data) < 7 or data[0] != PUSH:
        raise ValueError("not a broadcast")
    at = 7
    names = []
    for length in data[1:6]:
        names.append(data[at : at + length].decode())
        at += length
    join_ref, ref, topic, event, _ = names
    body: Any = json.loads(data[at:]) if data[6] == JSON else data[at:]
    payload = {"type": "broadcast", "event": event, "payload": body}
    return Frame(topic, "broadcast", payload, ref or None, join_ref or None)


def write(frame: Frame, version: str) -> str | bytes:
    if version == "1.0.0":
        said: Any = {
            "topic": frame.topic,
            "event": frame.event,
            "payload": frame.payload,
            "ref": frame.ref,
        }
        return json.dumps(said)
    if frame.event == "broadcast":
        return write_broadcast(frame)
    return json.dumps([frame.join_ref, frame.ref, frame.topic, frame.event, frame.payload])


def write_broadcast(frame: Frame) -> bytes:
    event, body, meta = (frame.payload.get(name) for name in ("event", "payload", "meta"))
    texts = [
        part.encode() for part in (frame.topic, event, json.dumps(meta) if meta is not None else "")
    ]
    is_bytes = isinstance(body, bytes)
    head = bytes([BROADCAST, *(len(text) for text in texts), BYTES if is_bytes else JSON])
    return head + b"".join(texts) + (body if is_bytes else json.dumps(body).encode())
