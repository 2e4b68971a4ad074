"""A server with a simulated pool, and what the names in the examples of the reference stand for: $VM is `vm()`, which gives an id and
makes what must be there; NOWHERE when there is none here. What starts with SPARE_ is made for whoever asks, who may delete it."""
import functools
import json
import subprocess
import tempfile
import threading
import time
import urllib.request

from box import BUILD, Refused, Server, Sim
from ledger import Ledger
from mail_server import MailServer

NOWHERE = "11111111-2222-4333-8444-555555555555"
DISK_BYTES = 1 << 20


class World:
    """What the names of examples stand for."""

    def __init__(self, folder):
        self.home = folder
        self.sim = Sim("--hosts", 2, "--vms", 6, "--running", "0", "--disk-size", "1MiB", "--boot-delay", "0.01", "--seed", 7)
        self.box = Server(str(folder / "data"), log=folder / "server.log")
        self.server_id = self.box.connect(self.sim)
        self.call, self.ledger = self.box.call, Ledger(self.sim, self.box, folder / "repository")
        self.streams, self.children, self.lock, self.has_faults = [], [], threading.Lock(), False

    def stop(self):
        if self.second.cache_info().currsize:
            self.second().stop()
        for child in self.children:
            child.wait()
        for stream in self.streams:
            stream.close()
        if self.mail_server.cache_info().currsize:
            self.mail_server().stop()
        self.ledger.close()
        self.box.stop()
        self.sim.stop()

    def value(self, name):
        return getattr(self, name.lower())()

    def objects(self, **pattern):
        return self.box.objects(**pattern)

    def one(self, **pattern):
        return self.objects(**pattern)[0]["id"]

    # --- machines ---

    @functools.cache
    def machines(self):
        """(stays halted and whole, changes its state)"""
        ids = sorted(each["id"] for each in self.objects(type="VM"))
        return ids[0], ids[1]

    def vm(self):
        return self.machines()[0]

    def state_of(self, vm):
        return self.objects(id=vm)[0]["power_state"]

    def halted_vm(self):
        vm = self.machines()[1]
        if self.state_of(vm) != "Halted":
            self.call("vm.stop", id=vm, force=True)
        return vm

    def running_vm(self):
        vm = self.machines()[1]
        if self.state_of(vm) != "Running":
            self.call("vm.start", id=vm)
        return vm

    def paused_vm(self):
        self.call("vm.pause", id=self.running_vm())
        return self.machines()[1]

    def suspended_vm(self):
        self.call("vm.suspend", id=self.running_vm())
        return self.machines()[1]

    def spare_vm(self):
        return self.call("vm.clone", id=self.vm(), name="spare", full_copy=False)

    @functools.cache
    def snapshot(self):
        return self.call("vm.snapshot", id=self.vm(), name="of the examples")

    def loaded_vm(self):
        """With an image in its drive."""
        vm = self.spare_vm()
        self.call("vm.insertCd", id=vm, cd_id=self.iso())
        return vm

    def spare_snapshot(self):
        return self.call("vm.snapshot", id=self.vm(), name="spare")

    def template(self):
        return next(each["id"] for each in self.objects(type="VM-template") if each["name_label"].startswith("Debian"))

    def spare_template(self):
        with_session = self.sim.session()
        ref = with_session.call("VM.get_by_uuid", self.spare_vm())
        with_session.call("VM.set_is_a_template", ref, True)
        uuid = with_session.call("VM.get_uuid", ref)
        self.wait(lambda: self.objects(type="VM-template", id=uuid))
        return uuid

    def control_domain(self):
        return self.one(type="VM-controller")

    @staticmethod
    def wait(condition):
        for _ in range(600):
            if condition():
                return
            time.sleep(0.1)
        raise AssertionError("it does not happen")

    # --- their parts ---

    def vbd_of(self, vm):
        """The disk that the machine came with, or what a reverting put in its place: examples give it more."""
        found = [each for each in self.objects(type="VBD", VM=vm) if not each["is_cd_drive"] and "VDI" in each]
        return min(found, key=lambda each: int(each["position"]))

    def vbd(self):
        return self.vbd_of(self.vm())["id"]

    def disk(self):
        return self.vbd_of(self.vm())["VDI"]

    def disk_snapshot(self):
        return self.vbd_of(self.snapshot())["VDI"]

    def spare_disk_snapshot(self):
        return self.vbd_of(self.spare_snapshot())["VDI"]

    def spare_disk(self):
        return self.call("disk.create", name="spare", size=DISK_BYTES, sr=self.sr())

    def spare_vbd(self):
        disk = self.call("disk.create", name="spare", size=DISK_BYTES, sr=self.sr(), vm=self.vm())
        return self.one(type="VBD", VDI=disk)

    def plugged_vbd(self):
        disk = self.call("disk.create", name="spare", size=DISK_BYTES, sr=self.sr(), vm=self.running_vm())
        return self.one(type="VBD", VDI=disk)

    def unplugged_vbd(self):
        vbd = self.plugged_vbd()
        self.call("vbd.disconnect", id=vbd)
        return vbd

    def vif(self):
        return self.one(type="VIF", **{"$VM": self.vm()})

    def spare_vif(self):
        return self.call("vm.createInterface", vm=self.vm(), network=self.network())

    def plugged_vif(self):
        vif = self.call("vm.createInterface", vm=self.running_vm(), network=self.network())
        if not self.objects(id=vif)[0]["attached"]:
            self.call("vif.connect", id=vif)
        return vif

    def unplugged_vif(self):
        vif = self.plugged_vif()
        self.call("vif.disconnect", id=vif)
        return vif

    # --- the pool ---

    def pool(self):
        return self.one(type="pool")

    def host(self):
        return self.objects(type="pool")[0]["master"]

    def member(self):
        """A member, up and in service: on the way back when an example before sent it away."""
        other = next(each["id"] for each in self.objects(type="host") if each["name_label"] == "host-2")
        host = self.objects(id=other)[0]
        if host["power_state"] == "Halted":
            with_session = self.sim.session()
            with_session.call("host.set_power_on_mode", host["_xapiRef"], "wake-on-lan", {})
            with_session.call("host.power_on", host["_xapiRef"])
            self.wait(lambda: self.objects(id=other)[0]["power_state"] == "Running")
        if not self.objects(id=other)[0]["enabled"]:
            self.call("host.enable", id=other)
        return other

    def disabled_host(self):
        host = self.member()
        self.call("host.disable", id=host)
        return host

    def halted_host(self):
        host = self.member()
        ref = self.objects(id=host)[0]["_xapiRef"]
        self.sim.session().call("host.set_power_on_mode", ref, "wake-on-lan", {})
        self.call("host.stop", id=host)
        return host

    def master(self):
        return self.host()

    def calm_pool(self):
        """All hosts in service, no high availability."""
        self.member()
        self.call("pool.disableHa", pool=self.pool())
        return self.pool()

    def ha_pool(self):
        """High availability is on."""
        pool = self.calm_pool()
        self.call("pool.enableHa", pool=pool, heartbeatSrs=[self.sr()])
        return pool

    def nobodys_pool(self):
        return NOWHERE

    def leaving_host(self):
        """No host leaves the pool of the examples, which has two: refused."""
        return NOWHERE

    def certificate(self):
        return "-----BEGIN CERTIFICATE-----\nQUJD\n-----END CERTIFICATE-----\n"

    def private_key(self):
        return "-----BEGIN PRIVATE KEY-----\nQUJD\n-----END PRIVATE KEY-----\n"

    def other_host(self):
        """Where the running machine is not."""
        self.member()  # both are up
        here = self.objects(id=self.running_vm())[0]["$container"]
        return next(each["id"] for each in self.objects(type="host") if each["id"] != here)

    @functools.cache
    def sr(self):
        return next(each["id"] for each in self.objects(type="SR") if each["name_label"] == "Shared storage")

    def spare_sr(self):
        return self.call("sr.createNfs", host=self.host(), nameLabel="spare", nameDescription="", server="nas", serverPath="/exports/one")

    def detached_sr(self):
        sr = self.spare_sr()
        self.call("sr.disconnectAllPbds", id=sr)
        return sr

    def maintained_sr(self):
        sr = self.spare_sr()
        self.call("sr.enableMaintenanceMode", id=sr)
        return sr

    @functools.cache
    def block_sr(self):
        return self.call("sr.createLvm", host=self.host(), nameLabel="of volumes", nameDescription="", device="/dev/sdx")

    def iso(self):
        return next(each["id"] for each in self.objects(type="VDI") if each["name_label"] == "debian-12.iso")

    def pbd(self):
        return self.one(type="PBD", SR=self.sr())

    def plugged_pbd(self):
        """Of a storage that nothing uses, on the other host; made anew when an example deleted it."""
        tools = next(each for each in self.objects(type="SR") if each["name_label"] == "XCP-ng Tools")
        other = next(each for each in self.objects(type="host") if each["id"] != self.host())
        found = self.objects(type="PBD", SR=tools["id"], host=other["id"])
        if not found:
            self.sim.session().call("PBD.create", {"SR": tools["_xapiRef"], "host": other["_xapiRef"], "other_config": {},
                                                       "device_config": {"location": "/opt/xensource/packages/iso"}})
            self.wait(lambda: self.objects(type="PBD", SR=tools["id"], host=other["id"]))
        pbd = self.one(type="PBD", SR=tools["id"], host=other["id"])
        if not self.objects(id=pbd)[0]["attached"]:
            self.call("pbd.connect", id=pbd)
        return pbd

    def unplugged_pbd(self):
        pbd = self.plugged_pbd()
        self.call("pbd.disconnect", id=pbd)
        return pbd

    def sm(self):
        return self.one(type="SM")

    def pif(self):
        return self.one(type="PIF", management=True)

    def network(self):
        return self.objects(id=self.pif())[0]["$network"]

    def vlan_pif(self):
        base = next(each["id"] for each in self.objects(type="PIF", vlan=-1) if each["device"] == "eth1")
        tag = 1 + max([each["vlan"] for each in self.objects(type="PIF")] + [200])
        network = self.call("network.create", pool=self.pool(), name="tagged", pif=base, vlan=tag)
        return self.objects(id=network)[0]["PIFs"][0]

    def unplugged_pif(self):
        pif = self.vlan_pif()
        self.call("pif.disconnect", id=pif)
        return pif

    def free_pif(self, device):
        """Of the master, in no bond."""
        for each in self.objects(type="network", isBonded=True):
            self.call("network.delete", id=each["id"])
        if not self.objects(type="PIF", device=device):
            for each in self.objects(type="host"):
                self.sim.session().call("PIF.scan", each["_xapiRef"])
            self.wait(lambda: len(self.objects(type="PIF", device=device)) == 2)
        return self.one(type="PIF", device=device, **{"$host": self.host()})

    def first_pif(self):
        return self.free_pif("eth2")

    def second_pif(self):
        return self.free_pif("eth3")

    def spare_network(self):
        return self.call("network.create", pool=self.pool(), name="spare")

    def message_of(self, name, body):
        session = self.sim.session()
        ref = session.call("message.create", name, 3, "VM", self.vm(), body)
        uuid = session.call("message.get_record", ref)["uuid"]
        self.wait(lambda: self.objects(type="message", id=uuid))
        return uuid

    def message(self):
        return self.message_of("OF_A_PERSON", "")

    def alarm(self):
        return self.message_of("ALARM", 'value: 0.97\nconfig:\n<variable>\n<name value="cpu_usage"/>\n</variable>')

    def pool_task(self):
        session = self.sim.session()
        ref = session.call("task.create", "of a person", "")
        uuid = session.call("task.get_uuid", ref)
        self.wait(lambda: self.objects(type="task", id=uuid))
        return uuid

    def pgpu(self):
        """There is none here: the example is refused."""
        return NOWHERE

    proxy = pgpu

    def lone_pool(self):
        """No pool of the examples may be taken apart: refused."""
        return NOWHERE

    lone_host = lone_pool

    # --- devices of hosts ---

    def pci(self):
        return self.one(type="PCI", **{"$host": self.host()})

    def member_pci(self):
        return self.one(type="PCI", **{"$host": self.member()})

    @functools.cache
    def usb(self):
        with_session, sticks = self.sim.session(), [{"path": "1-1", "vendor_id": "0781", "product_id": "5567", "product_desc": "a stick"}]
        with_session.call("host.add_to_other_config", self.objects(id=self.host())[0]["_xapiRef"], "sim:usb", json.dumps(sticks))
        self.call("pusb.scan", host=self.host())
        return self.one(type="PUSB")

    def usb_group(self):
        """No machine has it."""
        for each in self.objects(type="VUSB"):
            if each["currentlyAttached"]:
                self.call("vusb.unplug", id=each["id"])
            self.call("vusb.destroy", id=each["id"])
        self.call("pusb.set", id=self.usb(), enabled=True)
        return self.one(type="USB_group")

    def spare_vusb(self):
        return self.call("vusb.create", vmId=self.halted_vm(), usbGroupId=self.usb_group())

    def plugged_vusb(self):
        vusb = self.spare_vusb()
        self.running_vm()
        return vusb

    def spare_vtpm(self):
        return self.call("vtpm.create", id=self.spare_vm())

    def ip_pool(self):
        return self.call("ipPool.create", name="spare", addresses={"10.99.0.9": {}}, networks=[self.network()])

    # --- people ---

    def login(self):
        return self.box.user

    def password(self):
        return self.box.password

    @functools.cache
    def user(self):
        return self.call("user.create", email="a user", password="a password")

    def spare_user(self):
        return self.call("user.create", email=f"spare {len(self.call('user.getAll'))}", password="a password")

    @functools.cache
    def group(self):
        return self.call("group.create", name="a group")

    def role(self):
        return self.call("role.create", name="of the examples")

    def spare_role(self):
        """Somebody has it."""
        role = self.role()
        self.call("role.addUser", id=role, userId=self.user())
        self.call("role.addGroup", id=role, groupId=self.group())
        return role

    def privilege(self):
        return self.call("role.addPrivilege", roleId=self.role(), resource="vm", action="read")

    spare_privilege = privilege

    def spare_group(self):
        return self.call("group.create", name="spare")

    def spare_token(self):
        return self.call("token.create", description="spare")

    def cloud_config(self):
        return self.call("cloudConfig.create", name="spare", template="#cloud-config")["id"]

    def resource_set(self):
        return self.call("resourceSet.create", name="spare", objects=[self.sr(), self.template()], subjects=[self.user()],
                         limits={"cpus": 8})["id"]

    # --- backups ---

    @functools.cache
    def repository(self):
        (self.home / "repository").mkdir()
        return self.call("remote.create", name="a repository", url=f"file://{self.home}/repository")["id"]

    def spare_repository(self):
        path = tempfile.mkdtemp(dir=self.home)
        return self.call("remote.create", name="spare", url=f"file://{path}")["id"]

    def folder(self):
        return tempfile.mkdtemp(dir=self.home)

    @functools.cache
    def jobs(self):
        return self.box.delta_job("a job", [self.vm()], [self.repository()], 3)

    def job(self):
        return self.jobs()[0]

    def schedule(self):
        return self.jobs()[1]

    def spare_job(self):
        return self.box.delta_job("spare", [self.vm()], [self.repository()], 1)[0]

    def spare_schedule(self):
        return self.box.delta_job("spare", [self.vm()], [self.repository()], 1)[1]

    def call_job(self):
        return self.call("job.create", job={"type": "call", "key": "genericTask", "name": "spare", "method": "vm.set", "paramsVector": {
            "type": "crossProduct", "items": [{"type": "set", "values": [{"id": self.vm(), "name_description": "set by a job"}]}]}})

    def kept_job(self, kind):
        """Jobs of this kind come with a configuration of XO."""
        job = {"id": f"of-XO-{kind}", "type": kind, "name": "XO's", "settings": {"": {}}}
        path = self.home / f"{kind}.json"
        path.write_text(json.dumps({"jobs": [job]}))
        ran = self.box.command("xo.importConfig", f"@={path}")
        assert ran.returncode == 0, ran.stderr
        return job["id"]

    @functools.cache
    def metadata_job(self):
        return self.kept_job("metadataBackup")

    @functools.cache
    def mirror_job(self):
        return self.kept_job("mirrorBackup")

    def backup(self):
        self.call("backupNg.runJob", id=self.job(), schedule=self.schedule())
        listed = self.call("backupNg.listVmBackups", remotes=[self.repository()])
        return max(each["id"] for each in listed[self.repository()][self.vm()])

    def run(self):
        self.backup()
        return max(key for key, log in self.call("backupNg.getAllLogs").items() if log.get("jobId") == self.job())

    def restore(self):
        self.call("backupNg.importVmBackup", id=self.backup(), sr=self.sr())
        return max(key for key, log in self.call("backupNg.getAllLogs").items() if log["message"] == "restore")

    def record(self):
        self.call("group.create", name="for the log")
        return self.call("audit.getRecords", maxRecords=1)[0]["id"]

    def log_entry(self):
        try:
            self.call("vm.set", id=self.vm(), CPUs=-1)
        except Refused:
            pass
        return max(self.call("log.get", namespace="api"))

    # --- plug-ins ---

    @functools.cache
    def mail_server(self):
        return MailServer()

    def unloaded_plugin(self):
        """Configured, and loaded at start."""
        plugin = "transport-email"
        self.call("plugin.purgeConfiguration", id=plugin)
        self.call("plugin.configure", id=plugin, configuration={"from": {"address": "xo@example.org", "name": "the server"}, "transport": {
            "host": "127.0.0.1", "port": self.mail_server().port}})
        self.call("plugin.enableAutoload", id=plugin)
        return plugin

    def plugin(self):
        plugin = self.unloaded_plugin()
        self.call("plugin.load", id=plugin)
        return plugin

    def manual_plugin(self):
        plugin = self.plugin()
        self.call("plugin.disableAutoload", id=plugin)
        return plugin

    # --- this server ---

    def server(self):
        return self.server_id

    @functools.cache
    def second(self):
        return Sim("--hosts", 1, "--vms", 0, "--seed", 8)

    def spare_server(self):
        """A pool of its own, which is not connected yet."""
        for each in self.call("server.getAll"):
            if each["id"] != self.server_id:
                self.call("server.remove", id=each["id"])
        return self.call("server.add", host=self.second().url, username="root", password=self.second().password, allowUnauthorized=True, autoConnect=False)

    def connected_server(self):
        server = self.spare_server()
        self.call("server.enable", id=server)
        return server

    def request(self, verb, path, body=None):
        headers = {"Cookie": f"token={self.box.env['CADENZA_TOKEN']}", **({"Content-Type": "application/json"} if body else {})}
        asked = urllib.request.Request(f"{self.box.url}/rest/v0/{path}", method=verb, headers=headers, data=body)
        return urllib.request.urlopen(asked, timeout=60)

    def task(self):
        """One that has ended."""
        with self.request("POST", f"servers/{self.server_id}/actions/connect") as answer:
            task = json.load(answer)["taskId"]
        self.request("GET", f"tasks/{task}?wait=true").close()
        return task

    def slow_snapshots(self):
        """Until what is to be stopped has been stopped: the example's end takes the fault away."""
        self.has_faults = True
        self.sim.fault(kind="latency", method="VM.snapshot", ms=15000)

    def settle(self):
        """What was stopped has ended as well: it leaves no mark."""
        if self.has_faults:
            self.sim.control("/sim/faults/clear", {})
            self.wait(lambda: not any("cadenza:intent" in record.get("other_config", {}) for record in self.ledger.pool().values()))
            self.wait(self.is_still)
        self.has_faults = False

    def is_still(self):
        before = self.ledger.pool()
        time.sleep(0.5)
        return self.ledger.pool() == before

    def running_run(self):
        self.slow_snapshots()
        before = set(self.call("backupNg.getAllLogs"))
        words = ["backupNg.runJob", f"id={self.job()}", f"schedule={self.schedule()}"]
        self.children.append(subprocess.Popen([BUILD / "src/cmd/cadenza", *words], env=self.box.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        self.wait(lambda: set(self.call("backupNg.getAllLogs")) - before)
        return (set(self.call("backupNg.getAllLogs")) - before).pop()

    def running_task(self):
        vm = self.spare_vm()  # the one before may be busy with the task that was stopped last
        self.slow_snapshots()
        with self.request("POST", f"vms/{vm}/actions/snapshot") as answer:
            return json.load(answer)["taskId"]

    def events(self):
        """The id of a stream that stays open."""
        stream = self.request("GET", "events")
        self.streams.append(stream)
        while True:
            line = stream.readline().decode()
            if line.startswith("data:"):
                return json.loads(line[5:])["id"]


    def subscribed_events(self):
        id_ = self.events()
        body = json.dumps({"collection": "VM"}).encode()
        self.request("POST", f"events/{id_}/subscriptions", body).close()
        return id_
