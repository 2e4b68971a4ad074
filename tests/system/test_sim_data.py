"""The data side of the simulator, over its wire: exports and imports of disks, changed blocks, NBD. The
truth is the simulator's own SHA-256 of a disk; what is exported is read back by a few lines of Python."""
import base64
import hashlib
import http.client
import json
import pathlib
import shutil
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import urllib.parse

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from box import Refused, Sim  # noqa: E402

MIB, BLOCK = 1 << 20, 2 << 20


def checksum_fits(part, at):
    return struct.unpack_from(">I", part, at)[0] == ~(sum(part) - sum(part[at:at + 4])) & 0xffffffff


class Vhd:
    """A VHD stream taken apart: strict about its frame, blocks by number."""

    def __init__(self, data):
        footer, header = data[:512], data[512:1536]
        assert footer[:8] == b"conectix" and header[:8] == b"cxsparse" and data[-512:] == footer
        assert checksum_fits(footer, 64) and checksum_fits(header, 36)
        self.size, = struct.unpack_from(">Q", footer, 48)
        self.kind, = struct.unpack_from(">I", footer, 60)
        self.uid, self.parent_uid = footer[68:84], header[40:56]
        table, = struct.unpack_from(">Q", header, 16)
        n, block_size = struct.unpack_from(">II", header, 28)
        assert block_size == BLOCK and n == -(-self.size // BLOCK)
        bat = struct.unpack_from(f">{n}I", data, table)
        self.blocks, end = {}, table + -(-4 * n // 512) * 512
        for number, sector in enumerate(bat):
            if sector == 0xffffffff:
                continue
            assert sector * 512 == end, "blocks must follow each other in increasing order"
            assert data[end:end + 512] == b"\xff" * 512
            self.blocks[number] = data[end + 512:end + 512 + BLOCK]
            end += 512 + BLOCK
        assert end + 512 == len(data)

    def apply(self, disk):
        for number, block in self.blocks.items():
            disk[number * BLOCK:number * BLOCK + len(block)] = block


def make_vhd(size, blocks, kind=3):
    """A VHD written by a stranger: blocks in the order given, BAT at 1536 as qemu and XO do."""
    def sign(part, at):
        part = part[:at] + b"\0\0\0\0" + part[at + 4:]
        return part[:at] + struct.pack(">I", ~sum(part) & 0xffffffff) + part[at + 4:]
    footer = struct.pack(">8sIIQI4sIIQQ4sI", b"conectix", 2, 0x10000, 512, 7, b"test", 1, 0, size, size, b"\0" * 4, kind)
    footer = sign(footer.ljust(512, b"\0"), 64)
    n = -(-size // BLOCK)
    header = sign(struct.pack(">8sQQIII", b"cxsparse", 2**64 - 1, 1536, 0x10000, n, BLOCK).ljust(1024, b"\0"), 36)
    bat, body, at = [0xffffffff] * n, [], 1536 + -(-4 * n // 512) * 512
    for number, block in blocks:
        bat[number] = at // 512
        body += [b"\xff" * 512, block.ljust(BLOCK, b"\0")]
        at += 512 + BLOCK
    table = struct.pack(f">{n}I", *bat)
    return b"".join([footer, header, table.ljust(-(-len(table) // 512) * 512, b"\xff"), *body, footer])


def text_block(number):
    return b"".join(b"block %d line %d\n" % (number, i) for i in range(BLOCK // 32))[:BLOCK].ljust(BLOCK, b".")


class SimData(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.sim = Sim("--listen", "127.0.22.1:0", "--vms", 1, "--disk-size", "8M")
        cls.xapi = cls.sim.session()
        cls.sim.control("/sim/coalesce", {"seconds": 0.1})

    @classmethod
    def tearDownClass(cls):
        cls.sim.stop()

    def setUp(self):
        self.sr = next(r for r, sr in self.xapi.call("SR.get_all_records").items() if sr["type"] in ("ext", "nfs"))
        self.vdi = self.new_disk(24 * MIB)
        self.write(self.vdi, [0, 2, 5, 11])

    def tearDown(self):
        self.sim.control("/sim/faults/clear", {})

    # --- help ---

    def new_disk(self, size):
        return self.xapi.call("VDI.create", {
            "SR": self.sr, "name_label": "test", "name_description": "", "virtual_size": str(size), "type": "user",
            "sharable": False, "read_only": False, "other_config": {"k": "v"}, "sm_config": {}, "xenstore_data": {}, "tags": []})

    def write(self, vdi, blocks):
        self.sim.control("/sim/write", {"vdi": vdi, "blocks": blocks})

    def task(self):
        return self.xapi.call("task.create", "transfer", "")

    def wait_task(self, task):
        for _ in range(200):
            record = self.xapi.call("task.get_record", task)
            if record["status"] != "pending":
                self.xapi.call("task.destroy", task)
                return record
            time.sleep(0.05)
        self.fail(f"the task stays pending: {record}")

    def connection(self, timeout=60):
        url = urllib.parse.urlsplit(self.sim.ready["plain_url"])
        return http.client.HTTPConnection(url.hostname, url.port, timeout=timeout)

    def query(self, **params):
        return urllib.parse.urlencode({"session_id": self.xapi.ref, **params})

    def export(self, vdi, **params):
        """(status, headers, body, task record)."""
        task, connection = self.task(), self.connection()
        connection.request("GET", "/export_raw_vdi/?" + self.query(vdi=vdi, task_id=task, **params))
        answer = connection.getresponse()
        try:
            body = answer.read()
        except (http.client.IncompleteRead, ConnectionError) as error:
            body = getattr(error, "partial", b"")
        connection.close()
        return answer.status, answer.headers, body, self.wait_task(task)

    def full(self, vdi):
        status, headers, body, task = self.export(vdi, format="vhd")
        self.assertEqual((status, task["status"]), (200, "success"), task)
        self.assertNotIn("content-length", headers)
        self.assertNotIn("transfer-encoding", headers)
        self.assertEqual(headers["content-type"], "application/vhd")
        return Vhd(body)

    def put(self, body, announced=None, **params):
        """Imports by hand over a socket, as XO does: (first line of the answer, task record)."""
        task = self.task()
        url = urllib.parse.urlsplit(self.sim.ready["plain_url"])
        sock = socket.create_connection((url.hostname, url.port), timeout=60)
        length = len(body) if announced is None else announced
        head = f"PUT /import_raw_vdi/?{self.query(task_id=task, **params)} HTTP/1.1\r\nHost: pool\r\nContent-Length: {length}\r\n\r\n"
        sock.sendall(head.encode())
        first = sock.makefile("rb").readline().decode()
        try:
            sock.sendall(body)
            if length != len(body):
                sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        record = self.wait_task(task)
        sock.close()
        return first, record

    def raw(self, vdi):
        status, _, body, task = self.export(vdi, format="raw")
        self.assertEqual((status, task["status"]), (200, "success"))
        return body

    def assert_digest(self, vdi, data):
        self.assertEqual(hashlib.sha256(data).hexdigest(), self.sim.digest(vdi))

    def assert_idle(self, vdi):
        """The disk is given back after a transfer."""
        for _ in range(100):
            if not self.xapi.call("VDI.get_VBDs", vdi):
                return
            time.sleep(0.05)
        self.fail("the disk stays attached")

    # --- exports ---

    def test_full_export(self):
        vhd = self.full(self.vdi)
        self.assertEqual((vhd.kind, vhd.size, sorted(vhd.blocks)), (3, 24 * MIB, [0, 2, 5, 11]))
        disk = bytearray(vhd.size)
        vhd.apply(disk)
        self.assert_digest(self.vdi, disk)
        self.assertEqual(self.raw(self.vdi), disk)
        self.assert_idle(self.vdi)

    def test_delta_export(self):
        first = self.xapi.call("VDI.snapshot", self.vdi)
        self.write(self.vdi, [2, 7])
        second = self.xapi.call("VDI.snapshot", self.vdi)
        self.write(self.vdi, [8])
        base = self.full(first)
        disk = bytearray(base.size)
        base.apply(disk)
        self.assert_digest(first, disk)
        for name in (first, self.xapi.call("VDI.get_uuid", first)):
            status, _, body, task = self.export(second, format="vhd", base=name)
            self.assertEqual((status, task["status"]), (200, "success"), task)
            delta = Vhd(body)
            self.assertEqual((delta.kind, delta.parent_uid, sorted(delta.blocks)), (4, base.uid, [2, 7]))
        delta.apply(disk)
        self.assert_digest(second, disk)
        # After the first snapshot has gone and its base copy was merged, a delta still holds what changed.
        third = self.xapi.call("VDI.snapshot", self.vdi)
        self.xapi.call("VDI.destroy", first)
        time.sleep(0.5)
        delta = Vhd(self.export(third, format="vhd", base=second)[2])
        self.assertEqual(sorted(delta.blocks), [8])
        delta.apply(disk)
        self.assert_digest(third, disk)

    def test_export_refusals(self):
        status, _, _, task = self.export(self.vdi, format="vmdk")
        self.assertEqual((status, task["error_info"][0]), (404, "INTERNAL_ERROR"))
        status, _, _, task = self.export("OpaqueRef:none", format="vhd")
        self.assertEqual((status, task["error_info"][:2]), (500, ["HANDLE_INVALID", "VDI"]))
        status, _, _, task = self.export(self.vdi, format="vhd", base="OpaqueRef:none")
        self.assertEqual((status, task["status"]), (500, "failure"))
        connection = self.connection()
        connection.request("GET", "/export_raw_vdi?session_id=OpaqueRef:x&vdi=" + self.vdi)
        self.assertEqual(connection.getresponse().status, 401)
        connection.close()
        connection = self.connection()
        connection.request("GET", "/export_raw_vdi?" + self.query(vdi=self.vdi, format="vhd"))
        answer = connection.getresponse()
        self.assertTrue(answer.headers["task-id"].startswith("OpaqueRef:"))
        answer.read()
        connection.close()
        self.assertEqual(self.wait_task(answer.headers["task-id"])["status"], "success")

    def test_in_use_while_exporting(self):
        self.sim.control("/sim/faults", {"kind": "stall", "path": "/export_raw_vdi", "at": 4 * MIB, "ms": 1500})
        done = []
        thread = threading.Thread(target=lambda: done.append(self.export(self.vdi, format="vhd")))
        thread.start()
        time.sleep(0.7)
        with self.assertRaises(Refused) as refused:
            self.xapi.call("VDI.destroy", self.vdi)
        self.assertEqual((refused.exception.code, refused.exception.data), ("VDI_IN_USE", [self.vdi, "destroy"]))
        thread.join()
        self.assertEqual(done[0][3]["status"], "success")
        self.assert_idle(self.vdi)
        self.xapi.call("VDI.destroy", self.vdi)

    def test_cut_export(self):
        whole = len(self.export(self.vdi, format="vhd")[2])
        for at in (0, 100, 600, 2100, 3 * MIB, whole - 513, whole - 1):
            self.sim.control("/sim/faults", {"kind": "cut", "path": "/export_raw_vdi", "at": at})
            _, _, body, task = self.export(self.vdi, format="vhd")
            self.assertLessEqual(len(body), at)
            self.assertEqual(task["status"], "failure", at)
        self.assert_idle(self.vdi)
        self.assertEqual(len(self.export(self.vdi, format="vhd")[2]), whole)

    def test_cancelled_export(self):
        self.sim.control("/sim/faults", {"kind": "throttle", "path": "/export_raw_vdi", "bytes_per_s": 2 * MIB})
        task, connection = self.task(), self.connection()
        connection.request("GET", "/export_raw_vdi?" + self.query(vdi=self.vdi, task_id=task, format="vhd"))
        answer = connection.getresponse()
        answer.read(1000)
        self.xapi.call("task.cancel", task)
        threading.Thread(target=lambda: self.swallow(answer)).start()
        self.assertEqual(self.wait_task(task)["status"], "cancelled")
        self.sim.control("/sim/faults/clear", {})
        connection.close()

    @staticmethod
    def swallow(answer):
        try:
            answer.read()
        except (OSError, ValueError, http.client.HTTPException):
            pass

    # --- imports ---

    def test_import_vhd(self):
        blocks = [(9, text_block(9)), (0, text_block(0)), (4, bytes(BLOCK))]
        target = self.new_disk(24 * MIB)
        first, task = self.put(make_vhd(20 * MIB, blocks), vdi=target, format="vhd")
        self.assertIn(" 200 ", first)
        self.assertEqual(task["status"], "success", task)
        self.assertEqual(task["result"], f"<value>{target}</value>")
        disk = bytearray(24 * MIB)
        for number, block in blocks:
            disk[number * BLOCK:(number + 1) * BLOCK] = block
        self.assert_digest(target, disk)
        self.assertEqual(sorted(self.full(target).blocks), [0, 9])
        delta = [(1, text_block(100)), (9, bytes(BLOCK))]
        _, task = self.put(make_vhd(20 * MIB, delta, kind=4), vdi=target, format="vhd", announced=1 << 50)
        self.assertEqual(task["status"], "success", task)
        for number, block in delta:
            disk[number * BLOCK:(number + 1) * BLOCK] = block
        self.assert_digest(target, disk)
        self.assert_idle(target)

    def test_export_import_round_trip(self):
        snapshot = self.xapi.call("VDI.snapshot", self.vdi)
        body = self.export(snapshot, format="vhd")[2]
        target = self.new_disk(24 * MIB)
        self.put(body, vdi=target, format="vhd")
        self.assertEqual(self.sim.digest(target), self.sim.digest(snapshot))

    def test_import_raw(self):
        data = b"".join(text_block(i) for i in range(3)) + b"tail"
        target = self.new_disk(8 * MIB)
        _, task = self.put(data, vdi=target, format="raw")
        self.assertEqual(task["status"], "success", task)
        self.assert_digest(target, data.ljust(8 * MIB, b"\0"))
        other = self.new_disk(8 * MIB)
        _, task = self.put(data, vdi=other, announced=1 << 50)
        self.assertEqual(task["status"], "success", task)
        self.assertEqual(self.sim.digest(other), self.sim.digest(target))
        _, task = self.put(data, sr_id=self.sr, format="raw")
        self.assertEqual(task["status"], "success", task)
        made = task["result"][len("<value>"):-len("</value>")]
        self.assertEqual(self.xapi.call("VDI.get_virtual_size", made), str(8 * MIB))
        self.assertEqual(self.sim.digest(made), self.sim.digest(target))

    def test_import_failures(self):
        target = self.new_disk(24 * MIB)
        vhd = make_vhd(20 * MIB, [(1, text_block(1)), (3, text_block(3))])
        for cut in (0, 100, 1600, 3 * MIB, len(vhd) - 512, len(vhd) - 1):
            _, task = self.put(vhd[:cut], vdi=target, format="vhd", announced=len(vhd))
            self.assertEqual(task["error_info"], ["VDI_IO_ERROR", "Device I/O errors"], cut)
            _, task = self.put(vhd[:cut], vdi=target, format="vhd", announced=1 << 50)
            self.assertEqual(task["status"], "failure", cut)
        _, task = self.put(b"x" + vhd[1:], vdi=target, format="vhd")
        self.assertEqual(task["status"], "failure")
        _, task = self.put(make_vhd(40 * MIB, []), vdi=target, format="vhd")
        self.assertEqual(task["status"], "failure")
        _, task = self.put(bytes(25 * MIB), vdi=target, format="raw")
        self.assertEqual(task["status"], "failure")
        first, task = self.put(b"", vdi=target, format="vmdk")
        self.assertIn(" 404 ", first)
        first, task = self.put(b"data", format="vhd")
        self.assertIn(" 400 ", first)
        self.assert_idle(target)

    def test_import_into_full_sr(self):
        target = self.new_disk(24 * MIB)
        name = self.xapi.call("SR.get_uuid", self.sr)
        self.sim.control("/sim/srs/fill", {"sr": name, "left_bytes": 3 * MIB})
        try:
            _, task = self.put(make_vhd(20 * MIB, [(i, text_block(i)) for i in range(4)]), vdi=target, format="vhd")
        finally:
            self.sim.control("/sim/srs/fill", {"sr": name, "left_bytes": -1})
        self.assertEqual(task["status"], "failure")

    def test_probe(self):
        before = len(self.xapi.call("VDI.get_all")), len(self.xapi.call("task.get_all"))
        for params in ({"vdi": self.vdi, "format": "vhd"}, {"sr_id": self.sr, "format": "raw"}):
            connection = self.connection()
            connection.request("PUT", "/import_raw_vdi/?" + self.query(**params), body=b"")
            self.assertEqual(connection.getresponse().status, 200)
            connection.close()
            connection = self.connection()  # XO announces the length of the real request in its probe
            connection.putrequest("PUT", "/import_raw_vdi/?" + self.query(**params))
            connection.putheader("Content-Length", str(1 << 50))
            connection.endheaders()
            self.assertEqual(connection.getresponse().status, 200)
            connection.close()
        self.assertEqual((len(self.xapi.call("VDI.get_all")), len(self.xapi.call("task.get_all"))), before)

    # --- changed blocks ---

    def test_changed_blocks(self):
        self.xapi.call("VDI.enable_cbt", self.vdi)
        first = self.xapi.call("VDI.snapshot", self.vdi)
        self.sim.control("/sim/write", {"vdi": self.vdi, "bytes": 300 << 10, "seed": 7})
        second = self.xapi.call("VDI.snapshot", self.vdi)
        before, after = self.raw(first), self.raw(second)
        bits = base64.b64decode(self.xapi.call("VDI.list_changed_blocks", first, second))
        self.assertEqual(len(bits), 24 * MIB // 65536 // 8)
        marked = {i for i in range(len(bits) * 8) if bits[i // 8] & 0x80 >> i % 8}
        self.assertEqual(len(marked), 5)
        changed = {i for i in range(24 * MIB // 65536) if before[i << 16:i + 1 << 16] != after[i << 16:i + 1 << 16]}
        self.assertLessEqual(changed, marked)
        self.assertTrue(changed)

    # --- NBD ---

    def nbd(self, vdi, purpose):
        for network, record in self.xapi.call("network.get_all_records").items():
            for old in record["purpose"]:
                self.xapi.call("network.remove_purpose", network, old)
        network = next(r for r, n in self.xapi.call("network.get_all_records").items() if n["bridge"] == "xenbr0")
        if purpose:
            self.xapi.call("network.add_purpose", network, purpose)
        return self.xapi.call("VDI.get_nbd_info", vdi)

    def nbd_read(self, info, size, tls, options=None):
        """A client of fixed newstyle NBD, as XO's is: STARTTLS, EXPORT_NAME, READ, DISC."""
        sock = socket.create_connection((info["address"], int(info["port"])), timeout=30)
        self.addCleanup(lambda: sock.close())

        def get(n):
            data = b""
            while len(data) < n:
                part = sock.recv(n - len(data))
                if not part:
                    raise EOFError
                data += part
            return data
        self.assertEqual(get(16), b"NBDMAGICIHAVEOPT")
        get(2)
        sock.sendall(struct.pack(">I", 1))
        if tls:
            sock.sendall(struct.pack(">8sII", b"IHAVEOPT", 5, 0))
            _, _, kind, n = struct.unpack(">QIII", get(20))
            self.assertEqual((kind, n), (1, 0))
            context = ssl.create_default_context(cadata=info["cert"])
            context.check_hostname = False
            sock = context.wrap_socket(sock)
        name = info["exportname"].encode()
        sock.sendall(struct.pack(">8sII", b"IHAVEOPT", 1, len(name)) + name)
        length, _ = struct.unpack(">QH", get(10))
        get(124)
        self.assertEqual(length, size)
        data = b""
        for handle, offset in enumerate(range(0, size, 1 << 20)):
            sock.sendall(struct.pack(">IHHQQI", 0x25609513, 0, 0, handle, offset, 1 << 20))
            magic, error, back = struct.unpack(">IIQ", get(16))
            self.assertEqual((magic, error, back), (0x67446698, 0, handle))
            data += get(1 << 20)
        sock.sendall(struct.pack(">IHHQQI", 0x25609513, 0, 2, 0, 0, 0))
        sock.close()
        return data

    @unittest.skipUnless(shutil.which("nbdkit"), "nbdkit is not installed")
    def test_nbd(self):
        snapshot = self.xapi.call("VDI.snapshot", self.vdi)
        self.assertEqual(self.nbd(snapshot, None), [])
        for purpose, tls in (("insecure_nbd", False), ("nbd", True)):
            with self.subTest(purpose):
                infos = self.nbd(snapshot, purpose)
                self.assertEqual(len(infos), 1)
                self.assertEqual(infos[0]["exportname"],
                                 f"/{self.xapi.call('VDI.get_uuid', snapshot)}?session_id={self.xapi.ref}")
                self.assert_digest(snapshot, self.nbd_read(infos[0], 24 * MIB, tls))
                for broken in ({"exportname": "/none?session_id=" + self.xapi.ref},
                               {"exportname": infos[0]["exportname"].replace("OpaqueRef:", "OpaqueRef:x")}):
                    with self.assertRaises((EOFError, OSError)):
                        self.nbd_read({**infos[0], **broken}, 24 * MIB, tls)
                if tls:  # in the clear it is refused
                    with self.assertRaises((EOFError, OSError)):
                        self.nbd_read(infos[0], 24 * MIB, False)
                self.assert_idle(snapshot)

    @unittest.skipUnless(shutil.which("nbdkit") and shutil.which("qemu-img"), "nbdkit or qemu-img is not installed")
    def test_nbd_by_qemu(self):
        snapshot = self.xapi.call("VDI.snapshot", self.vdi)
        info, = self.nbd(snapshot, "insecure_nbd")
        image = {"driver": "nbd", "export": info["exportname"],
                 "server": {"type": "inet", "host": info["address"], "port": info["port"]}}
        with tempfile.NamedTemporaryFile() as file:
            run = subprocess.run(["qemu-img", "convert", "json:" + json.dumps({"driver": "raw", "file": image}), "-O", "raw",
                                  file.name], capture_output=True, timeout=60)
            self.assertEqual(run.returncode, 0, run.stderr)
            data = pathlib.Path(file.name).read_bytes()
        self.assert_digest(snapshot, data)

    @unittest.skipUnless(shutil.which("nbdkit"), "nbdkit is not installed")
    def test_nbd_children_end_with_the_simulator(self):
        other = Sim("--listen", "127.0.22.17:0", "--vms", 1, "--disk-size", "8M")
        xapi = other.session()
        vdi = next(r for r, v in xapi.call("VDI.get_all_records").items() if v["VBDs"])
        info, = xapi.call("VDI.get_nbd_info", vdi)
        address = info["address"], int(info["port"])
        socket.create_connection(address, timeout=5).close()
        children = other.children()
        self.assertTrue(children)
        other.kill()
        for _ in range(100):
            if not any(pathlib.Path(f"/proc/{pid}").exists() for pid in children):
                break
            time.sleep(0.05)
        self.assertFalse([pid for pid in children if pathlib.Path(f"/proc/{pid}").exists()])
        other.stop()


if __name__ == "__main__":
    unittest.main()
