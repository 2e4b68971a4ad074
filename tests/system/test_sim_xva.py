"""Whole machines over the simulator's wire: /export, /import and their metadata. Archives are read and made
by Python's tarfile and xmlrpc and by the zstd program; the truth is the simulator's SHA-256 of a disk."""
import gzip
import hashlib
import http.client
import io
import pathlib
import shutil
import socket
import subprocess
import sys
import tarfile
import time
import unittest
import urllib.parse
import xmlrpc.client

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from box import Refused, Sim  # noqa: E402

MIB = 1 << 20
UNKNOWN = 1 << 50


def expand(data):
    if data[:2] == b"\x1f\x8b":
        return "gzip", gzip.decompress(data)
    if data[:4] == b"\x28\xb5\x2f\xfd":
        return "zstd", subprocess.run(["zstd", "-dc"], input=data, capture_output=True, check=True).stdout
    return "none", data


class Archive:
    """An XVA taken apart, strict about its frame: disks by id, as bytes."""

    def __init__(self, data):
        self.codec, tar = expand(data)
        assert tar[-1024:] == bytes(1024) and len(tar) % 512 == 0
        members = tarfile.open(fileobj=io.BytesIO(tar))
        names = members.getnames()
        assert names[0] == "ova.xml"
        self.xml = members.extractfile("ova.xml").read().decode()
        (self.ova,), _ = xmlrpc.client.loads(f"<params><param>{self.xml}</param></params>")
        self.objects = {o["id"]: (o["class"], o["snapshot"]) for o in self.ova["objects"]}
        self.disks, self.kinds, self.numbers = {}, set(), {}
        for name, checksum in zip(names[1::2], names[2::2]):
            data = members.extractfile(name).read()
            said = members.extractfile(checksum).read().decode()
            assert checksum.rpartition(".")[0] == name, (name, checksum)
            self.kinds.add(checksum.rpartition(".")[2])
            if checksum.endswith(".checksum"):
                assert said == hashlib.sha1(data).hexdigest()
            else:
                assert said == xxh64(data), (said, name)
            disk, number = name.split("/")
            size = int(self.objects[disk][1]["virtual_size"])
            content = self.disks.setdefault(disk, bytearray(size))
            content[int(number) * MIB:int(number) * MIB + len(data)] = data
            self.numbers.setdefault(disk, []).append(int(number))

    def of_class(self, name):
        return [record for cls, record in self.objects.values() if cls == name]


def xxh64(data):
    """XXH64 with seed 0, in plain Python: a chunk of 1 MiB takes a tenth of a second."""
    mask, p1, p2, p3 = (1 << 64) - 1, 0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9
    p4, p5 = 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5

    def rotate(value, by):
        return (value << by | value >> (64 - by)) & mask

    def turn(lane, word):
        return rotate((lane + word * p2) & mask, 31) * p1 & mask

    words = memoryview(data[:len(data) // 32 * 32]).cast("Q")
    lanes = [(p1 + p2) & mask, p2, 0, -p1 & mask]
    for i, word in enumerate(words):
        lanes[i & 3] = turn(lanes[i & 3], word)
    value = p5
    if len(data) >= 32:
        value = sum(rotate(lane, by) for lane, by in zip(lanes, (1, 7, 12, 18))) & mask
        for lane in lanes:
            value = ((value ^ turn(0, lane)) * p1 + p4) & mask
    value = (value + len(data)) & mask
    rest = data[len(data) // 32 * 32:]
    while len(rest) >= 8:
        value = (rotate(value ^ turn(0, int.from_bytes(rest[:8], "little")), 27) * p1 + p4) & mask
        rest = rest[8:]
    if len(rest) >= 4:
        value = (rotate(value ^ int.from_bytes(rest[:4], "little") * p1 & mask, 23) * p2 + p3) & mask
        rest = rest[4:]
    for byte in rest:
        value = rotate(value ^ byte * p5 & mask, 11) * p1 & mask
    value = (value ^ value >> 33) * p2 & mask
    value = (value ^ value >> 29) * p3 & mask
    return "%016X" % (value ^ value >> 32)


def make_archive(disk, size=None):
    """What a stranger makes: the least that can be imported, one disk, SHA-1 sums."""
    def value(thing):
        return xmlrpc.client.dumps((thing,)).replace("<params>\n<param>\n", "").replace("</param>\n</params>\n", "")
    objects = [
        {"class": "VM", "id": "Ref:0", "snapshot": {"uuid": "", "name_label": "from afar", "is_a_template": False,
                                                    "memory_static_max": "1073741824", "VCPUs_max": "2", "tags": ["x"]}},
        {"class": "SR", "id": "Ref:1", "snapshot": {"content_type": "user"}},
        {"class": "VDI", "id": "Ref:2", "snapshot": {"SR": "Ref:1", "name_label": "d", "virtual_size": str(size or len(disk))}},
        {"class": "VBD", "id": "Ref:3", "snapshot": {"VM": "Ref:0", "VDI": "Ref:2", "type": "Disk", "userdevice": "0",
                                                     "mode": "RW", "bootable": True, "empty": False}},
    ]
    out = io.BytesIO()

    def add(name, data):
        entry = tarfile.TarInfo(name)
        entry.size = len(data)
        out.write(entry.tobuf(tarfile.USTAR_FORMAT) + data + bytes(-len(data) % 512))
    add("ova.xml", value({"version": {"export_vsn": "2"}, "objects": objects}).encode())
    for at in range(0, len(disk), MIB):
        chunk = disk[at:at + MIB]
        if any(chunk) or at == 0 or at + MIB >= len(disk):
            name = f"Ref:2/{at // MIB:08d}"
            add(name, bytes(chunk))
            add(name + ".checksum", hashlib.sha1(chunk).hexdigest().encode())
    return out.getvalue() + bytes(1024)


class Wire(unittest.TestCase):
    options = ()

    @classmethod
    def setUpClass(cls):
        cls.sim = Sim("--listen", "127.0.23.1:0", "--vms", 2, "--running", 0.5, "--disk-size", "6M", "--disks", 2,
                      "--allocated", 0.4, *cls.options)
        cls.xapi = cls.sim.session()
        vms = cls.xapi.call("VM.get_all_records")
        plain = {r: v for r, v in vms.items() if not (v["is_a_template"] or v["is_control_domain"])}
        cls.running = next(r for r, v in plain.items() if v["power_state"] == "Running")
        cls.halted = next(r for r, v in plain.items() if v["power_state"] == "Halted")
        cls.sr = next(r for r, sr in cls.xapi.call("SR.get_all_records").items() if sr["type"] in ("ext", "nfs"))

    @classmethod
    def tearDownClass(cls):
        cls.sim.stop()

    def tearDown(self):
        self.sim.control("/sim/faults/clear", {})

    # --- help ---

    def query(self, **params):
        return urllib.parse.urlencode({"session_id": self.xapi.ref, **params})

    def wait_task(self, task):
        for _ in range(400):
            record = self.xapi.call("task.get_record", task)
            if record["status"] != "pending":
                self.xapi.call("task.destroy", task)
                return record
            time.sleep(0.05)
        self.fail(f"the task stays pending: {record}")

    def get(self, path, **params):
        """(status, headers, body, task record)"""
        task = self.xapi.call("task.create", "export", "")
        url = urllib.parse.urlsplit(self.sim.ready["plain_url"])
        connection = http.client.HTTPConnection(url.hostname, url.port, timeout=60)
        connection.request("GET", f"{path}?{self.query(task_id=task, **params)}")
        answer = connection.getresponse()
        try:
            body = answer.read()
        except (http.client.IncompleteRead, ConnectionError) as error:
            body = getattr(error, "partial", b"")
        connection.close()
        return answer.status, answer.headers, body, self.wait_task(task)

    def export(self, vm, **params):
        status, headers, body, task = self.get("/export/", ref=vm, **params)
        self.assertEqual((status, task["status"]), (200, "success"), task["error_info"])
        self.assertNotIn("content-length", headers)
        self.assertNotIn("transfer-encoding", headers)
        self.assertEqual(headers["content-type"], "application/octet-stream")
        self.assertIn("export.xva", headers["content-disposition"])
        return body

    def put(self, body, announced=None, path="/import/", headers="", task=True, **params):
        """By hand over a socket, as XO does: (status, task record or None)"""
        ref = self.xapi.call("task.create", "import", "") if task else None
        url = urllib.parse.urlsplit(self.sim.ready["plain_url"])
        sock = socket.create_connection((url.hostname, url.port), timeout=60)
        length = headers or f"Content-Length: {len(body) if announced is None else announced}\r\n"
        query = self.query(**params, **({"task_id": ref} if task else {}))
        sock.sendall(f"PUT {path}?{query} HTTP/1.1\r\nHost: pool\r\n{length}\r\n".encode())
        status = int(sock.makefile("rb").readline().split()[1])
        try:
            sock.sendall(body)
            sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        record = self.wait_task(ref) if task else None
        sock.close()
        return status, record

    def imported(self, body, announced=None, **params):
        status, task = self.put(body, announced, sr_id=self.sr, **params)
        self.assertEqual((status, task["status"]), (200, "success"), task["error_info"])
        (refs,), _ = xmlrpc.client.loads(f"<params><param>{task['result']}</param></params>")
        self.assertEqual(len(refs), 1)
        self.assertEqual(task["other_config"].get("object_creation"), "complete")
        return refs[0]

    def disks_of(self, vm):
        """Device to VDI uuid."""
        found = {}
        for ref in self.xapi.call("VM.get_VBDs", vm):
            vbd = self.xapi.call("VBD.get_record", ref)
            if vbd["type"] == "Disk":
                found[vbd["userdevice"]] = self.xapi.call("VDI.get_uuid", vbd["VDI"])
        return found

    def digests(self, vm):
        return {device: self.sim.digest(uuid) for device, uuid in self.disks_of(vm).items()}

    def destroy(self, vm):
        vdis = [self.xapi.call("VDI.get_by_uuid", uuid) for uuid in self.disks_of(vm).values()]
        self.xapi.call("VM.destroy", vm)
        for vdi in vdis:
            self.xapi.call("VDI.destroy", vdi)

    def population(self):
        count = {cls: len(self.xapi.call(f"{cls}.get_all")) for cls in ("VM", "VBD", "VIF", "network")}
        count["VDI"] = sum(vdi["managed"] for vdi in self.xapi.call("VDI.get_all_records").values())
        return count

    def assert_same(self, before):
        """Nothing has stayed; dom0 gives disks back a little later."""
        for _ in range(60):
            if self.population() == before:
                return
            time.sleep(0.05)
        self.assertEqual(self.population(), before)


class Exports(Wire):
    def check(self, vm, archive):
        devices = {record["VDI"]: record["userdevice"] for record in archive.of_class("VBD") if record["type"] == "Disk"}
        found = {devices[disk]: hashlib.sha256(data).hexdigest() for disk, data in archive.disks.items()}
        self.assertEqual(found, self.digests(vm))
        for numbers in archive.numbers.values():
            self.assertEqual((numbers[0], numbers[-1]), (0, 5))

    def test_plain(self):
        archive = Archive(self.export(self.halted))
        self.check(self.halted, archive)
        self.assertEqual(archive.kinds, {"xxhash"})
        record, = archive.of_class("VM")
        self.assertEqual((record["power_state"], record["is_a_snapshot"], record["snapshots"]), ("Halted", False, []))
        self.assertEqual(record["uuid"], self.xapi.call("VM.get_uuid", self.halted))
        self.assertEqual(record["current_operations"], {})
        self.assertEqual(archive.ova["version"]["export_vsn"], "2")
        self.assertEqual({ref for ref in archive.objects if archive.objects[ref][0] == "VBD"}, set(record["VBDs"]))
        self.assertNotIn("OpaqueRef:", archive.xml.replace("OpaqueRef:NULL", ""))
        self.assertEqual(self.xapi.call("VM.get_current_operations", self.halted), {})

    def test_compressed(self):
        for asked, codec in (("true", "gzip"), ("zstd", "zstd"), ("false", "none")):
            archive = Archive(self.export(self.halted, use_compression=asked))
            self.assertEqual(archive.codec, codec)
            self.check(self.halted, archive)

    def test_snapshot(self):
        """A machine that runs is exported by way of its snapshot, which then is a plain machine."""
        snapshot = self.xapi.call("VM.snapshot", self.running, "snap")
        self.xapi.call("VM.set_is_a_template", snapshot, False)
        archive = Archive(self.export(snapshot))
        self.check(snapshot, archive)
        record, = archive.of_class("VM")
        self.assertEqual((record["is_a_snapshot"], record["snapshot_of"]), (False, "OpaqueRef:NULL"))
        self.destroy(snapshot)

    def test_refusals(self):
        for params, status, code in (({"ref": self.running}, 500, "VM_BAD_POWER_STATE"),
                                     ({"ref": "OpaqueRef:none"}, 500, "HANDLE_INVALID"),
                                     ({"ref": self.halted, "use_compression": "rar"}, 500, "INTERNAL_ERROR")):
            got, _, body, task = self.get("/export/", **params)
            self.assertEqual((got, task["error_info"][0]), (status, code))
            self.assertIn(code.encode(), body)

    def test_shown_while_it_lasts(self):
        self.sim.fault(kind="throttle", path="/export", object=self.xapi.call("VM.get_uuid", self.halted), bytes_per_s=4 * MIB)
        task = self.xapi.call("task.create", "export", "")
        url = urllib.parse.urlsplit(self.sim.ready["plain_url"])
        connection = http.client.HTTPConnection(url.hostname, url.port, timeout=60)
        connection.request("GET", "/export/?" + self.query(ref=self.halted, task_id=task))
        answer = connection.getresponse()
        answer.read(1000)
        self.assertEqual(self.xapi.call("VM.get_current_operations", self.halted), {task: "export"})
        with self.assertRaises(Refused) as refused:
            self.xapi.call("VM.start", self.halted, False, False)
        self.assertEqual(refused.exception.code, "OTHER_OPERATION_IN_PROGRESS")
        self.xapi.call("task.cancel", task)
        with self.assertRaises((http.client.IncompleteRead, ConnectionError, OSError)):
            while answer.read(65536):
                pass
            raise http.client.IncompleteRead(b"")
        connection.close()
        self.assertEqual(self.wait_task(task)["status"], "cancelled")
        self.assertEqual(self.xapi.call("VM.get_current_operations", self.halted), {})

    def test_cut(self):
        self.sim.fault(kind="cut", path="/export", object=self.xapi.call("VM.get_uuid", self.halted), at=MIB)
        _, _, body, task = self.get("/export/", ref=self.halted)
        self.assertEqual(task["status"], "failure")
        self.assertLessEqual(len(body), MIB)


class OldSums(Wire):
    options = ("--checksums", "sha1")

    def test_sha1(self):
        archive = Archive(self.export(self.halted))
        self.assertEqual(archive.kinds, {"checksum"})
        vm = self.imported(self.export(self.halted, use_compression="zstd"))
        self.assertEqual(self.digests(vm), self.digests(self.halted))


class Imports(Wire):
    def test_round_trip(self):
        before = self.population()
        for announced, compression in ((None, "false"), (UNKNOWN, "zstd"), (None, "gzip")):
            vm = self.imported(self.export(self.halted, use_compression=compression), announced)
            self.assertEqual(self.digests(vm), self.digests(self.halted))
            old, new = (self.xapi.call("VM.get_record", ref) for ref in (self.halted, vm))
            self.assertNotEqual(new["uuid"], old["uuid"])
            for field in ("name_label", "memory_static_max", "VCPUs_max", "platform", "tags", "is_a_template"):
                self.assertEqual(new[field], old[field], field)
            macs = [{self.xapi.call("VIF.get_MAC", vif) for vif in record["VIFs"]} for record in (old, new)]
            self.assertEqual(len(macs[0]), len(macs[1]))
            self.assertFalse(macs[0] & macs[1])
            self.assertEqual(new["current_operations"], {})
            self.assertIn("start", new["allowed_operations"])
            self.destroy(vm)
        self.assert_same(before)

    def test_shown_while_it_lasts(self):
        body = self.export(self.halted)
        self.sim.fault(kind="stall", path="/import", object="", at=MIB, ms=1500)
        task = self.xapi.call("task.create", "import", "")
        url = urllib.parse.urlsplit(self.sim.ready["plain_url"])
        sock = socket.create_connection((url.hostname, url.port), timeout=60)
        query = self.query(sr_id=self.sr, task_id=task)
        sock.sendall(f"PUT /import/?{query} HTTP/1.1\r\nHost: pool\r\nContent-Length: {len(body)}\r\n\r\n".encode())
        sock.sendall(body)
        seen = None
        for _ in range(40):
            seen = seen or next((vm["name_label"] for vm in self.xapi.call("VM.get_all_records").values()
                                 if vm["current_operations"] == {task: "import"}), None)
            time.sleep(0.05)
        self.assertEqual(seen, self.xapi.call("VM.get_name_label", self.halted))
        record = self.wait_task(task)
        self.assertEqual(record["status"], "success")
        sock.close()
        (refs,), _ = xmlrpc.client.loads(f"<params><param>{record['result']}</param></params>")
        self.destroy(refs[0])

    def test_restore_keeps_the_identity(self):
        body = self.export(self.halted)
        vm = self.imported(body)
        uuid = self.xapi.call("VM.get_uuid", vm)
        again = self.export(vm)
        macs = {self.xapi.call("VIF.get_MAC", vif) for vif in self.xapi.call("VM.get_VIFs", vm)}
        count = self.population()
        back = self.imported(again, restore="true")
        self.assert_same(count)
        self.assertEqual(self.xapi.call("VM.get_uuid", back), uuid)
        self.assertEqual({self.xapi.call("VIF.get_MAC", vif) for vif in self.xapi.call("VM.get_VIFs", back)}, macs)
        self.destroy(back)
        snapshot = self.xapi.call("VM.snapshot", self.running, "snap")
        body = self.export(snapshot).replace(self.xapi.call("VM.get_uuid", snapshot).encode(),
                                             self.xapi.call("VM.get_uuid", self.running).encode())
        self.destroy(snapshot)
        _, task = self.put(body, sr_id=self.sr, restore="true")
        self.assertEqual(task["error_info"][0], "VM_BAD_POWER_STATE")

    def test_a_stranger_s_archive(self):
        disk = bytearray(5 * MIB + 4096)
        disk[3 * MIB + 17:3 * MIB + 25] = b"content!"
        vm = self.imported(make_archive(disk))
        self.assertEqual(self.xapi.call("VM.get_name_label", vm), "from afar")
        uuid = self.disks_of(vm)["0"]
        size = int(self.xapi.call("VDI.get_virtual_size", self.xapi.call("VDI.get_by_uuid", uuid)))
        self.assertEqual(self.sim.digest(uuid), hashlib.sha256(disk + bytes(size - len(disk))).hexdigest())
        self.destroy(vm)

    def test_failures_leave_nothing(self):
        body = self.export(self.halted)
        before = self.population()
        middle = len(body) // 2
        flipped = bytearray(body)
        flipped[middle] ^= 1
        foreign = make_archive(bytearray(2 * MIB))
        for data, announced, code in (
                (body[:middle], UNKNOWN, "IMPORT_ERROR_PREMATURE_EOF"), (body[:-1024], None, "IMPORT_ERROR_PREMATURE_EOF"),
                (bytes(flipped), None, "IMPORT_ERROR_SOME_CHECKSUMS_FAILED"), (b"no archive" * 200, None, "IMPORT_ERROR"),
                (body + b"more", None, "IMPORT_ERROR"), (foreign.replace(b"Ref:2/00000001", b"Ref:2/00000009"), None, "IMPORT_ERROR"),
                (b"", None, "IMPORT_ERROR_PREMATURE_EOF")):
            status, task = self.put(data, announced, sr_id=self.sr)
            self.assertEqual((status, task["status"], task["error_info"][0]), (200, "failure", code), task["error_info"])
            self.assert_same(before)

    def test_refusals_and_probes(self):
        before = self.population()
        for announced in (0, UNKNOWN):
            self.assertEqual(self.put(b"", announced, task=False, sr_id=self.sr)[0], 200)
        self.assertFalse([task for task in self.xapi.call("task.get_all_records").values() if task["name_label"] == "VM import"])
        status, task = self.put(b"0\r\n\r\n", headers="Transfer-Encoding: chunked\r\n", sr_id=self.sr)
        self.assertEqual((status, task["error_info"]), (403, ["IMPORT_ERROR_CANNOT_HANDLE_CHUNKED"]))
        status, task = self.put(b"x", sr_id="OpaqueRef:none")
        self.assertEqual((status, task["error_info"][0]), (500, "HANDLE_INVALID"))
        iso = next(r for r, sr in self.xapi.call("SR.get_all_records").items() if sr["content_type"] == "iso")
        self.assertEqual(self.put(b"x", sr_id=iso)[0], 400)
        self.assert_same(before)

    def test_no_room(self):
        body = self.export(self.halted)
        before = self.population()
        self.sim.control("/sim/srs/fill", {"sr": self.xapi.call("SR.get_uuid", self.sr), "left_bytes": 0})
        try:
            _, task = self.put(body, sr_id=self.sr)
        finally:
            self.sim.control("/sim/srs/fill", {"sr": self.xapi.call("SR.get_uuid", self.sr), "left_bytes": -1})
        self.assertEqual(task["status"], "failure")
        self.assert_same(before)


class Metadata(Wire):
    def test_round_trip(self):
        snapshot = self.xapi.call("VM.snapshot", self.running, "kept")
        status, _, body, task = self.get("/export_metadata/", ref=self.running)
        self.assertEqual((status, task["status"]), (200, "success"))
        archive = Archive(body)
        self.assertEqual(archive.disks, {})
        self.assertEqual({record["name_label"] for record in archive.of_class("VM")} - {"kept"},
                         {self.xapi.call("VM.get_name_label", self.running)})
        self.assertEqual(len(archive.of_class("VM")), 2)
        self.assertIn("Running", {record["power_state"] for record in archive.of_class("VM")})
        alone = Archive(self.get("/export_metadata/", ref=self.running, export_snapshots="false")[2])
        self.assertEqual(len(alone.of_class("VM")), 1)
        before = self.population()
        _, task = self.put(body, path="/import_metadata/", dry_run="true")
        self.assertEqual(task["status"], "success")
        self.assert_same(before)
        _, task = self.put(body, path="/import_metadata/")
        self.assertEqual(task["status"], "success", task["error_info"])
        (refs,), _ = xmlrpc.client.loads(f"<params><param>{task['result']}</param></params>")
        self.assertEqual(self.disks_of(refs[0]), self.disks_of(self.running))
        self.assertEqual(self.population()["VDI"], before["VDI"])
        self.xapi.call("VM.destroy", refs[0])
        self.destroy(snapshot)

    def test_disks_must_be_there(self):
        foreign = make_archive(bytearray(2 * MIB))[:-1024]
        xml_only = foreign[:512 + -(-int(foreign[124:135], 8) // 512) * 512] + bytes(1024)
        _, task = self.put(xml_only, path="/import_metadata/")
        self.assertEqual(task["error_info"], ["IMPORT_ERROR_ATTACHED_DISKS_NOT_FOUND"])
        _, task = self.put(xml_only, path="/import_metadata/", force="true")
        self.assertEqual(task["status"], "success")
        (refs,), _ = xmlrpc.client.loads(f"<params><param>{task['result']}</param></params>")
        self.xapi.call("VM.destroy", refs[0])


@unittest.skipUnless(shutil.which("zstd"), "the zstd program is not installed")
class Zstd(Wire):
    def test_the_program_accepts_it(self):
        body = self.export(self.halted, use_compression="zstd")
        self.assertEqual(subprocess.run(["zstd", "-tq"], input=body).returncode, 0)


del Wire  # only its children are tests

if __name__ == "__main__":
    unittest.main()
