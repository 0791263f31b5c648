"""Messages between the study and a box, and between harness and cell: a length (4 bytes) and JSON on a socket."""

import json
import socket
import struct
from typing import Any

Message = dict[str, Any]
HEADER = struct.Struct(">I")


def send(channel: socket.socket, message: Message) -> None:
    """Send one message."""
    body = json.dumps(message).encode()
    channel.sendall(HEADER.pack(len(body)) + body)


def receive(channel: socket.socket) -> Message | None:
    """The next message, or None when the other end is closed."""

    def exactly(size: int) -> bytes:
        got = bytearray()
        while len(got) < size and (part := channel.recv(size - len(got))):
            got += part
        return bytes(got) if len(got) == size else b""

    header = exactly(HEADER.size)
    body = exactly(HEADER.unpack(header)[0]) if header else b""
    return json.loads(body) if body else None
