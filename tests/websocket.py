"""A WebSocket client of forty lines, for tests that must see the frames themselves; the standard library only."""
import base64
import json
import os
import socket
import struct
import time
import urllib.parse
import zlib


class Closed(Exception):
    """The server closed: its status code, or None when the connection just ended."""

    def __init__(self, code):
        super().__init__(f"closed with {code}")
        self.code = code


class WebSocket:
    def __init__(self, url, path="/api/", source="127.0.0.1", **headers):
        parts = urllib.parse.urlsplit(url)
        self.socket = socket.create_connection((parts.hostname, parts.port), timeout=30, source_address=(source, 0))
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket.sendall(f"GET {path} HTTP/1.1\r\nHost: {parts.netloc}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
                            .encode() + "".join(f"{name}: {value}\r\n" for name, value in headers.items()).encode() + b"\r\n")
        self.buffer, self.last_id, self.notifications = b"", 0, []
        while b"\r\n\r\n" not in self.buffer:
            self.buffer += self.socket.recv(4096) or self.ended()
        head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        self.head, self.status, self.n_received = head.decode(), int(head.split()[1]), 0

    def ended(self):
        raise Closed(None)

    def take(self, n):
        while len(self.buffer) < n:
            self.buffer += self.socket.recv(1 << 20) or self.ended()
        taken, self.buffer = self.buffer[:n], self.buffer[n:]
        return taken

    def send(self, text, opcode=1):
        data, mask = text if isinstance(text, bytes) else text.encode(), os.urandom(4)
        size = struct.pack("!B", 0x80 | len(data)) if len(data) < 126 else struct.pack("!BH", 0xFE, len(data)) \
            if len(data) < 65536 else struct.pack("!BQ", 0xFF, len(data))
        masked = bytes(byte ^ mask[i % 4] for i, byte in enumerate(data))
        self.socket.sendall(bytes([0x80 | opcode]) + size + mask + masked)

    def receive(self, timeout=30):
        """The next text message; TimeoutError when there is none."""
        return self.receive_bytes(timeout).decode()

    def receive_bytes(self, timeout=30):
        """The next message of either kind."""
        deadline, whole = time.monotonic() + timeout, b""
        while True:
            self.socket.settimeout(max(deadline - time.monotonic(), 0.001))  # pings do not prolong it
            first, second = self.take(2)
            n = second & 0x7F
            n = struct.unpack("!H", self.take(2))[0] if n == 126 else struct.unpack("!Q", self.take(8))[0] if n == 127 else n
            data = self.take(n)
            self.n_received += n
            if first & 0x40:  # compressed (RFC 7692)
                data = zlib.decompressobj(-15).decompress(data + b"\x00\x00\xff\xff")
            if first & 0x0F == 9:  # who does not answer is taken for gone
                self.send(data, opcode=10)
            if first & 0x0F == 8:
                raise Closed(struct.unpack("!H", data[:2])[0] if n >= 2 else None)
            if first & 0x0F in (0, 1, 2):
                whole += data
                if first & 0x80:
                    return whole

    def ask(self, method, params=None):
        """Sends a call; its id."""
        self.last_id += 1
        self.send(json.dumps({"jsonrpc": "2.0", "id": self.last_id, "method": method, "params": params or {}}))
        return self.last_id

    def receive_answer(self, timeout=30):
        """The text of the next message that is no notification; those on the way are kept, and do not prolong the time."""
        deadline = time.monotonic() + timeout
        while True:
            text = self.receive(deadline - time.monotonic())
            message = json.loads(text)
            if not isinstance(message, dict) or "method" not in message:
                return text
            self.notifications.append(message)

    def answer(self, timeout=30):
        """The next answer to a call."""
        while True:
            message = json.loads(self.receive_answer(timeout))
            if "id" in message:
                return message

    def call(self, method, params=None):
        """The whole answer: {"result"} or {"error"}."""
        wanted = self.ask(method, params)
        while True:
            answer = self.answer()
            if answer["id"] == wanted:
                return answer

    def listen(self, seconds):
        """Notifications that come within some seconds, and those that were kept."""
        try:
            while True:
                message = json.loads(self.receive(seconds))
                if "method" in message:
                    self.notifications.append(message)
        except TimeoutError:
            pass
        kept, self.notifications = self.notifications, []
        return kept

    def hear(self, enough, seconds=60):
        """Notifications, from those that were kept on, until `enough` of their list."""
        deadline = time.monotonic() + seconds
        while not enough(self.notifications):
            message = json.loads(self.receive(max(deadline - time.monotonic(), 0.001)))
            if "method" in message:
                self.notifications.append(message)
        kept, self.notifications = self.notifications, []
        return kept

    def close(self):
        self.socket.close()
