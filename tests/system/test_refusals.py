"""Every refusal of the simulator, driven: its code, and its parameters in the order of XAPI's catalogue. What the code can refuse
and no row here drives is an error of this test, so that none is forgotten."""
import json
import os
import pathlib
import re
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from box import ROOT  # noqa: E402
from simulated import NULL, Pool  # noqa: E402

# How many parameters XAPI's error catalogue declares.
CATALOGUE = {
    0: """HOSTS_NOT_COMPATIBLE JOINING_HOST_CANNOT_BE_MASTER_OF_OTHER_HOSTS JOINING_HOST_CANNOT_CONTAIN_SHARED_SRS
          JOINING_HOST_CANNOT_HAVE_RUNNING_OR_SUSPENDED_VMS JOINING_HOST_CANNOT_HAVE_VMS_WITH_CURRENT_OPERATIONS
          JOINING_HOST_CONNECTION_FAILED JOINING_HOST_SERVICE_FAILED CANNOT_CREATE_STATE_FILE HA_IS_ENABLED HA_TOO_FEW_HOSTS HOST_POWER_ON_MODE_DISABLED SERVER_CERTIFICATE_INVALID
          SERVER_CERTIFICATE_KEY_INVALID
          EVENTS_LOST HA_CANNOT_CHANGE_BOND_STATUS_OF_MGMT_IFACE HA_NOT_ENABLED PIF_BOND_NEEDS_MORE_MEMBERS PIF_CANNOT_BOND_CROSS_HOST
          SR_DEVICE_IN_USE HOST_HAS_NO_MANAGEMENT_IP HOST_NOT_DISABLED MESSAGE_REMOVED NO_HOSTS_AVAILABLE
          PROVISION_ONLY_ALLOWED_ON_TEMPLATE REVERT_ONLY_ALLOWED_ON_SNAPSHOT SR_NOT_EMPTY VBD_CDS_MUST_BE_READONLY
          VDI_ON_BOOT_MODE_INCOMPATIBLE_WITH_OPERATION VM_BIOS_STRINGS_ALREADY_SET IMPORT_ERROR_ATTACHED_DISKS_NOT_FOUND
          IMPORT_ERROR_CANNOT_HANDLE_CHUNKED IMPORT_ERROR_SOME_CHECKSUMS_FAILED IMPORT_ERROR_PREMATURE_EOF
          IMPORT_INCOMPATIBLE_VERSION MISSING_CONNECTION_DETAILS""",
    1: """HA_CONSTRAINT_VIOLATION_SR_NOT_SHARED HOST_CANNOT_DESTROY_SELF HOST_DISABLED_UNTIL_REBOOT HOST_HAS_RESIDENT_VMS
          HOST_IS_LIVE PIF_HAS_NO_NETWORK_CONFIGURATION
          CANNOT_ADD_TUNNEL_TO_BOND_SLAVE CANNOT_ADD_VLAN_TO_BOND_SLAVE CANNOT_PLUG_BOND_SLAVE DUPLICATE_PIF_DEVICE_NAME
          INVALID_IP_ADDRESS_SPECIFIED IS_TUNNEL_ACCESS_PIF MAC_DOES_NOT_EXIST PIF_ALREADY_BONDED PIF_IS_NOT_PHYSICAL PIF_IS_PHYSICAL
          PIF_TUNNEL_STILL_EXISTS PIF_VLAN_STILL_EXISTS TRANSPORT_PIF_NOT_CONFIGURED UNIMPLEMENTED_IN_SM_BACKEND
          HOSTS_NOT_HOMOGENEOUS VTPM_MAX_AMOUNT_REACHED TOO_MANY_VUSBS USB_GROUP_CONFLICT
          CANNOT_DESTROY_SYSTEM_NETWORK CANNOT_EVACUATE_HOST CANNOT_RESET_CONTROL_DOMAIN DEFAULT_SR_NOT_FOUND DEVICE_ALREADY_ATTACHED
          DEVICE_ALREADY_DETACHED DEVICE_ALREADY_EXISTS EVENT_FROM_TOKEN_PARSE_FAILURE EVENT_SUBSCRIPTION_PARSE_FAILURE FIELD_TYPE_ERROR
          HOST_DISABLED HOST_IS_SLAVE HOST_OFFLINE IMPORT_ERROR INTERNAL_ERROR INVALID_DEVICE MAC_INVALID MEMORY_CONSTRAINT_VIOLATION
          MESSAGE_METHOD_UNKNOWN NETWORK_CONTAINS_PIF NETWORK_CONTAINS_VIF NOT_IMPLEMENTED OPERATION_NOT_ALLOWED
          PIF_DOES_NOT_ALLOW_UNPLUG PIF_IS_MANAGEMENT_INTERFACE PIF_VLAN_EXISTS SESSION_INVALID SESSION_NOT_REGISTERED SR_HAS_NO_PBDS
          SR_HAS_PBD SR_INDESTRUCTIBLE SR_NOT_ATTACHED SR_OPERATION_NOT_SUPPORTED SR_UNKNOWN_DRIVER SR_UUID_EXISTS TASK_CANCELLED
          UNKNOWN_XENAPI_PLUGIN_FUNCTION VBD_IS_EMPTY VBD_NOT_EMPTY VBD_NOT_REMOVABLE_MEDIA VDI_CBT_ENABLED VDI_IO_ERROR
          VDI_NEEDS_VM_FOR_MIGRATE VDI_NOT_MANAGED VDI_NO_CBT_METADATA VDI_READONLY VLAN_TAG_INVALID VM_CANNOT_DELETE_DEFAULT_TEMPLATE
          INTERFACE_HAS_NO_IP TOO_MANY_STORAGE_MIGRATES UPDATE_ALREADY_APPLIED VDI_NOT_IN_MAP VIF_NOT_IN_MAP VM_HAS_CHECKPOINT
          VM_HAS_TOO_MANY_SNAPSHOTS VM_HAS_NO_SUSPEND_VDI VM_LACKS_FEATURE VM_NO_SUSPEND_SR XENAPI_MISSING_PLUGIN""",
    2: """PIF_NOT_PRESENT NETWORK_ALREADY_CONNECTED VIF_IN_USE HANDLE_INVALID HOST_NOT_ENOUGH_FREE_MEMORY INVALID_VALUE NETWORK_INCOMPATIBLE_PURPOSES OPERATION_BLOCKED
          SESSION_AUTHENTICATION_FAILED UUID_INVALID HOST_CANNOT_ATTACH_NETWORK VDI_INCOMPATIBLE_TYPE VDI_IN_USE VDI_MISSING VDI_TOO_LARGE VDI_TOO_SMALL
          VM_IS_SNAPSHOT VM_IS_TEMPLATE VM_REQUIRES_SR VM_REVERT_FAILED""",
    3: "XENAPI_PLUGIN_FAILURE HOST_IN_USE MESSAGE_PARAMETER_COUNT_MISMATCH PBD_EXISTS VM_BAD_POWER_STATE",
    4: "MAP_DUPLICATE_KEY OTHER_OPERATION_IN_PROGRESS VM_MIGRATE_FAILED",
}
N_PARAMETERS = {code: n for n, codes in CATALOGUE.items() for code in codes.split()}
# Refusals of transfers, which another file drives.
ELSEWHERE = {
    "VDI_IO_ERROR": "test_sim_data", "IMPORT_ERROR": "the handler /import", "IMPORT_ERROR_ATTACHED_DISKS_NOT_FOUND": "the handler /import",
    "IMPORT_ERROR_CANNOT_HANDLE_CHUNKED": "the handler /import", "IMPORT_ERROR_SOME_CHECKSUMS_FAILED": "the handler /import",
    "HOST_IS_SLAVE": "test_sim: members send to the master",
    "HA_TOO_FEW_HOSTS": "test_pools: a pool of one host",
    **dict.fromkeys(("HOSTS_NOT_COMPATIBLE", "HOSTS_NOT_HOMOGENEOUS", "JOINING_HOST_CANNOT_BE_MASTER_OF_OTHER_HOSTS",
                     "JOINING_HOST_CANNOT_CONTAIN_SHARED_SRS", "JOINING_HOST_CANNOT_HAVE_RUNNING_OR_SUSPENDED_VMS",
                     "JOINING_HOST_CANNOT_HAVE_VMS_WITH_CURRENT_OPERATIONS", "JOINING_HOST_CONNECTION_FAILED",
                     "JOINING_HOST_SERVICE_FAILED"), "test_pool_merge"),
    "EVENTS_LOST": "after more deletions than are remembered",
    "HOST_HAS_NO_MANAGEMENT_IP": "every simulated host has a management interface",
    "VM_NO_SUSPEND_SR": "every simulated pool has a place for memory images",
    **dict.fromkeys(("MISSING_CONNECTION_DETAILS", "HOST_CANNOT_ATTACH_NETWORK", "INTERFACE_HAS_NO_IP", "VDI_NOT_IN_MAP", "VIF_NOT_IN_MAP",
                     "VM_HAS_CHECKPOINT", "VM_HAS_TOO_MANY_SNAPSHOTS", "VM_MIGRATE_FAILED"), "test_sim_migration"),
    "TOO_MANY_STORAGE_MIGRATES": "more migrations at once than a test should make",
    "VDI_TOO_LARGE": "test_sim_data: the export of a disk over 2 TiB", "VDI_MISSING": "test_sim_data: exports without a disk",
}


def refusals_in_source():
    """The codes that the simulator's code raises."""
    folder = pathlib.Path(os.environ.get("CADENZA_SOURCE", ROOT)) / "src/sim"
    if not folder.exists():
        raise unittest.SkipTest("the source is not here")
    codes = set()
    for path in folder.glob("*.c"):
        for call in re.finditer(r"(?:sim_error|refuse)\(\s*&?\w+,([^;]*?)\);", path.read_text()):
            codes |= set(re.findall(r'"([A-Z][A-Z0-9]+(?:_[A-Z0-9]+)+)"', call[1]))
    return codes


class Refusals(Pool):
    options = ("--hosts", 2, "--vms", 6, "--running", "0.5", "--disk-size", "64MiB", "--boot-delay", "0.1", "--login-penalty", "0.05",
               "--op-delay", "0.3", "--seed", 9)
    driven = set()

    def refuse(self, code, params, method, *args):
        """The call is refused with this code and these parameters; None: any text."""
        got = self.refused(code, method, *args)
        self.driven.add(code)
        self.assertEqual(len(got), N_PARAMETERS[code], f"{code} {got}")
        for i, (want, have) in enumerate(zip(params, got)):
            if want is not None:
                self.assertEqual(have, want, f"{code}: parameter {i} of {got}")
            self.assertIsInstance(have, str)
        self.assertEqual(len(params), len(got), f"{code} {got}")

    def sr(self, kind="nfs", shared=None):
        return next(ref for ref, sr in self.call("SR.get_all_records").items() if sr["content_type"] == "user"
                    and (shared is None or sr["shared"] is shared))

    def disk(self, sr=None, **more):
        record = dict(name_label="a disk", name_description="", SR=sr or self.sr(), virtual_size=1 << 20, type="user", sharable=False,
                      read_only=False, other_config={}, **more)
        return self.call("VDI.create", record)

    def vbd(self, vm, vdi, device="autodetect", **more):
        return self.call("VBD.create", dict(dict(VM=vm, VDI=vdi, userdevice=device, bootable=False, mode="RW", type="Disk",
                                                 unpluggable=True, empty=False, other_config={}, qos_algorithm_type="",
                                                 qos_algorithm_params={}), **more))

    def vbd_refused(self, code, params, vm, vdi, device="autodetect", **more):
        self.refuse(code, params, "VBD.create", dict(dict(VM=vm, VDI=vdi, userdevice=device, bootable=False, mode="RW", type="Disk",
                                                          unpluggable=True, empty=False, other_config={}, qos_algorithm_type="",
                                                          qos_algorithm_params={}), **more))

    # --- Calls ---

    def test_calls(self):
        vm = self.a_vm("Running")
        self.refuse("MESSAGE_METHOD_UNKNOWN", ["VM.dance"], "VM.dance")
        self.refuse("MESSAGE_PARAMETER_COUNT_MISMATCH", ["VM.start", "4", "2"], "VM.start", vm)
        self.refuse("MESSAGE_REMOVED", [], "VM.snapshot_with_quiesce", vm, "x")
        self.refuse("NOT_IMPLEMENTED", ["VM.assert_agile"], "VM.assert_agile", vm)
        self.refuse("INTERNAL_ERROR", [None], "VM.start", vm, "yes", False)
        self.refuse("HANDLE_INVALID", ["VM", NULL], "VM.get_record", NULL)
        self.refuse("UUID_INVALID", ["SR", "x"], "SR.get_by_uuid", "x")
        self.refuse("INVALID_VALUE", ["on_crash_behaviour", "explode"], "VM.set_actions_after_crash", vm, "explode")
        self.refuse("FIELD_TYPE_ERROR", ["user_version"], "VM.create", {"name_label": "x"})
        self.call("VM.add_to_other_config", vm, "key", "value")
        self.refuse("MAP_DUPLICATE_KEY", ["VM", "other_config", vm, "key"], "VM.add_to_other_config", vm, "key", "other")
        host = self.call("host.get_all")[0]
        self.refuse("XENAPI_MISSING_PLUGIN", ["none.py"], "host.call_plugin", host, "none.py", "f", {})
        self.refuse("XENAPI_PLUGIN_FAILURE", [None, "", "no such SR"], "host.call_plugin", host, "trim", "do_trim", {"sr_uuid": "x"})
        self.refuse("UNKNOWN_XENAPI_PLUGIN_FUNCTION", ["no_such"], "host.call_plugin", host, "updater.py", "no_such", {})

    def test_sessions(self):
        answer, _ = self.json("session.login_with_password", "root", "wrong")
        self.assertEqual(answer["error"]["message"], "SESSION_AUTHENTICATION_FAILED")
        self.assertEqual(answer["error"]["data"], ["root", "Authentication failure"])
        answer, _ = self.json("pool.get_all", "OpaqueRef:none")
        self.assertEqual((answer["error"]["message"], answer["error"]["data"]), ("SESSION_INVALID", ["OpaqueRef:none"]))
        self.driven.update(("SESSION_AUTHENTICATION_FAILED", "SESSION_INVALID"))
        self.refuse("SESSION_NOT_REGISTERED", [self.xapi.ref], "event.next")
        self.refuse("EVENT_FROM_TOKEN_PARSE_FAILURE", ["nonsense"], "event.from", ["*"], "nonsense", 0.1)
        self.refuse("EVENT_SUBSCRIPTION_PARSE_FAILURE", ["VM/"], "event.from", ["VM/"], "", 0.1)

    # --- Machines ---

    def test_states(self):
        running, halted = self.a_vm("Running"), self.a_vm("Halted")
        self.refuse("VM_BAD_POWER_STATE", [running, "halted", "running"], "VM.start", running, False, False)
        self.refuse("VM_BAD_POWER_STATE", [halted, "running", "halted"], "VM.clean_shutdown", halted)
        template = next(ref for ref, vm in self.call("VM.get_all_records").items() if vm["is_default_template"])
        self.refuse("VM_IS_TEMPLATE", [template, "start"], "VM.start", template, False, False)
        self.refuse("VM_CANNOT_DELETE_DEFAULT_TEMPLATE", [template], "VM.destroy", template)
        self.refuse("PROVISION_ONLY_ALLOWED_ON_TEMPLATE", [], "VM.provision", halted)
        snapshot = self.call("VM.snapshot", halted, "s")
        self.refuse("VM_IS_SNAPSHOT", [snapshot, "start"], "VM.start", snapshot, False, False)
        self.refuse("REVERT_ONLY_ALLOWED_ON_SNAPSHOT", [], "VM.revert", halted)
        self.call("VM.destroy", snapshot)
        vtpm = self.call("VTPM.create", halted, False)
        self.refuse("VTPM_MAX_AMOUNT_REACHED", ["1"], "VTPM.create", halted, False)
        self.call("VTPM.destroy", vtpm)
        self.call("VM.add_to_blocked_operations", halted, "start", "because")
        self.refuse("OPERATION_BLOCKED", [halted, "because"], "VM.start", halted, False, False)
        self.call("VM.remove_from_blocked_operations", halted, "start")
        dom0 = next(ref for ref, vm in self.call("VM.get_all_records").items() if vm["is_control_domain"])
        self.refuse("OPERATION_NOT_ALLOWED", ["This operation is not allowed on dom0"], "VM.pause", dom0)
        self.refuse("CANNOT_RESET_CONTROL_DOMAIN", [dom0], "VM.power_state_reset", dom0)

    def test_in_progress(self):
        vm = self.a_vm("Running")
        task = self.call("Async.VM.pause", vm)
        self.wait("the operation", lambda: self.call("VM.get_current_operations", vm))
        self.refuse("OTHER_OPERATION_IN_PROGRESS", ["VM", vm, "pause", task], "VM.pause", vm)
        self.task(task)
        self.call("VM.unpause", vm)

    def test_guests(self):
        vm = self.a_vm("Halted")
        self.call("VM.add_to_other_config", vm, "sim:tools", "none")
        self.call("VM.start", vm, False, False)
        self.refuse("VM_LACKS_FEATURE", [vm], "VM.clean_shutdown", vm)
        self.call("VM.hard_shutdown", vm)
        self.call("VM.remove_from_other_config", vm, "sim:tools")

    def test_resources(self):
        vm = self.a_vm("Halted")
        host = self.call("host.get_all")[0]
        limits = [self.call(f"VM.get_memory_{name}", vm) for name in ("static_min", "static_max", "dynamic_min", "dynamic_max")]
        self.refuse("MEMORY_CONSTRAINT_VIOLATION", [None], "VM.set_memory_limits", vm, 2 << 30, 1 << 30, 1 << 30, 1 << 30)
        huge = 1 << 50
        self.call("VM.set_memory_limits", vm, huge, huge, huge, huge)
        self.refuse("HOST_NOT_ENOUGH_FREE_MEMORY", [str(huge), None], "VM.start_on", vm, host, False, False)
        self.call("VM.set_memory_limits", vm, min(limits[0], limits[2]), limits[1], limits[2], limits[3])
        hosts = self.call("host.get_all")
        self.call("host.disable", hosts[1])
        self.refuse("CANNOT_EVACUATE_HOST", ["NO_HOSTS_AVAILABLE"], "host.assert_can_evacuate", hosts[0])
        self.call("host.disable", host)
        self.refuse("HOST_DISABLED", [host], "VM.start_on", vm, host, False, False)
        self.refuse("NO_HOSTS_AVAILABLE", [], "VM.start", vm, False, False)
        for each in hosts:
            self.call("host.enable", each)
        self.call("VM.set_bios_strings", vm, {"bios-vendor": "x"})
        self.refuse("VM_BIOS_STRINGS_ALREADY_SET", [], "VM.set_bios_strings", vm, {"bios-vendor": "y"})

    def test_places(self):
        """Where a machine may run: on hosts that live and reach its disks."""
        hosts, vm = self.call("host.get_all"), self.a_vm("Halted")
        local = next(ref for ref, sr in self.call("SR.get_all_records").items() if sr["content_type"] == "user" and not sr["shared"])
        owner = self.call("PBD.get_host", self.call("SR.get_PBDs", local)[0])
        other = next(each for each in hosts if each != owner)
        disk = self.disk(sr=local)
        vbd = self.vbd(vm, disk)
        self.refuse("VM_REQUIRES_SR", [vm, local], "VM.start_on", vm, other, False, False)
        self.call("VBD.destroy", vbd)
        self.call("VDI.destroy", disk)
        member = next(ref for ref, host in self.call("host.get_all_records").items() if ref != self.call("pool.get_master",
                                                                                                    self.call("pool.get_all")[0]))
        self.sim.control("/sim/hosts/lose", {"host": self.call("host.get_uuid", member)})
        self.wait("the loss", lambda: not self.call("host_metrics.get_live", self.call("host.get_metrics", member)))
        self.refuse("HOST_OFFLINE", [member], "VM.start_on", vm, member, False, False)
        self.sim.control("/sim/hosts/find", {"host": self.call("host.get_uuid", member)})
        self.wait("the return", lambda: self.call("host_metrics.get_live", self.call("host.get_metrics", member)))

    def test_suspending(self):
        vm = self.a_vm("Running")
        self.call("VM.suspend", vm)
        self.call("VDI.destroy", self.call("VM.get_suspend_VDI", vm))
        self.refuse("VM_HAS_NO_SUSPEND_VDI", [vm], "VM.resume", vm, False, False)
        self.call("VM.hard_shutdown", vm)
        self.call("VM.start", vm, False, False)

    def test_reverting(self):
        vm = self.call("VM.clone", self.a_vm("Halted"), "a copy")
        snapshot = self.call("VM.snapshot", vm, "s")
        self.call("VM.destroy", vm)
        self.refuse("VM_REVERT_FAILED", [snapshot, vm], "VM.revert", snapshot)
        self.call("VM.destroy", snapshot)

    def test_provisioning(self):
        template = next(ref for ref, vm in self.call("VM.get_all_records").items() if vm["is_default_template"])
        vm = self.call("VM.clone", template, "new")
        self.call("VM.remove_from_other_config", vm, "disks")
        self.call("VM.add_to_other_config", vm, "disks",
                  '<provision><disk device="0" size="1048576" sr="no-such" bootable="true" type="system"/></provision>')
        self.refuse("DEFAULT_SR_NOT_FOUND", ["no-such"], "VM.provision", vm)
        self.call("VM.destroy", vm)

    # --- Devices ---

    def test_disks(self):
        halted, running = self.a_vm("Halted"), self.a_vm("Running")
        used = self.call("VM.get_VBDs", running)[0]
        attached = next(vbd for vbd in self.call("VM.get_VBDs", running) if self.call("VBD.get_currently_attached", vbd)
                        and self.call("VBD.get_type", vbd) == "Disk")
        self.assertTrue(used)
        self.refuse("DEVICE_ALREADY_ATTACHED", [attached], "VBD.plug", attached)
        disk = self.disk()
        self.vbd_refused("DEVICE_ALREADY_EXISTS", ["0"], running, disk, "0")
        for device in ("9999", "banana"):
            self.vbd_refused("INVALID_DEVICE", [device], running, disk, device)
        self.vbd_refused("VBD_CDS_MUST_BE_READONLY", [], halted, disk, "7", type="CD")
        self.refuse("VDI_IN_USE", [self.call("VBD.get_VDI", attached), "destroy"], "VDI.destroy", self.call("VBD.get_VDI", attached))
        loose = self.vbd(halted, disk)
        self.refuse("VM_BAD_POWER_STATE", [halted, "running", "halted"], "VBD.plug", loose)
        self.refuse("VBD_NOT_REMOVABLE_MEDIA", [loose], "VBD.eject", loose)
        self.call("VBD.destroy", loose)
        drive = self.vbd(halted, NULL, "8", type="CD", mode="RO", empty=True)
        self.refuse("VBD_IS_EMPTY", [drive], "VBD.eject", drive)
        self.call("VBD.insert", drive, disk)
        self.refuse("VBD_NOT_EMPTY", [drive], "VBD.insert", drive, disk)
        self.call("VBD.destroy", drive)
        self.call("VDI.destroy", disk)
        read_only = self.disk()
        self.call("VDI.set_read_only", read_only, True)
        self.vbd_refused("VDI_READONLY", [read_only], halted, read_only)
        self.call("VDI.destroy", read_only)

    def test_interfaces(self):
        vm = self.a_vm("Halted")
        network = self.call("network.get_all")[0]
        record = dict(device="3", network=network, VM=vm, MAC="nonsense", MTU=1500, other_config={}, qos_algorithm_type="",
                      qos_algorithm_params={})
        self.refuse("MAC_INVALID", ["nonsense"], "VIF.create", record)
        vif = self.call("VM.get_VIFs", vm)[0]
        running = self.call("VM.get_VIFs", self.a_vm("Running"))[0]
        self.call("VIF.unplug", running)
        self.refuse("DEVICE_ALREADY_DETACHED", [running], "VIF.unplug", running)
        self.call("VIF.plug", running)
        self.assertTrue(vif)

    # --- Storage ---

    def test_disks_of_storage(self):
        vdi = self.disk()
        self.refuse("VDI_NO_CBT_METADATA", [vdi], "VDI.data_destroy", vdi)
        self.refuse("VDI_INCOMPATIBLE_TYPE", ["", "cbt_metadata"], "VDI.create", dict(
            name_label="x", name_description="", SR=self.sr(), virtual_size=1 << 20, type="cbt_metadata", sharable=False,
            read_only=False, other_config={}))
        self.call("VDI.set_on_boot", vdi, "reset")
        self.refuse("VDI_ON_BOOT_MODE_INCOMPATIBLE_WITH_OPERATION", [], "VDI.enable_cbt", vdi)
        self.call("VDI.set_on_boot", vdi, "persist")
        self.call("VDI.enable_cbt", vdi)
        self.refuse("VDI_NEEDS_VM_FOR_MIGRATE", [vdi], "VDI.pool_migrate", vdi, self.sr(), {})
        vm = self.a_vm("Running")
        vbd = self.vbd(vm, vdi)
        self.call("VBD.plug", vbd)
        self.refuse("VDI_CBT_ENABLED", [vdi], "VDI.pool_migrate", vdi, self.sr(), {})
        self.call("VBD.unplug", vbd)
        self.call("VBD.destroy", vbd)
        snapshot = self.call("VDI.snapshot", vdi)
        self.call("VDI.disable_cbt", vdi)
        hidden = next((ref for ref, each in self.call("VDI.get_all_records").items() if not each["managed"]), None)
        if hidden:
            self.refuse("VDI_NOT_MANAGED", [hidden], "VDI.snapshot", hidden)
        self.call("VDI.destroy", snapshot)
        small = self.disk()
        big = self.call("VDI.create", dict(name_label="big", name_description="", SR=self.sr(), virtual_size=4 << 20, type="user",
                                           sharable=False, read_only=False, other_config={}))
        self.refuse("VDI_TOO_SMALL", [small, None], "VDI.copy", big, NULL, NULL, small)
        for each in (vdi, small, big):
            self.call("VDI.destroy", each)

    def test_repositories(self):
        host = self.call("host.get_all")[0]
        self.refuse("SR_UNKNOWN_DRIVER", ["tape"], "SR.create", host, {}, 0, "x", "", "tape", "user", False, {})
        self.refuse("UNIMPLEMENTED_IN_SM_BACKEND", ["SR.probe"], "SR.probe", host, {"location": "nas:/isos"}, "iso", {})
        on_disk = self.call("SR.create", host, {"device": "/dev/sdb"}, 0, "x", "", "lvm", "user", False, {})
        self.refuse("SR_DEVICE_IN_USE", [], "SR.create", host, {"device": "/dev/sdb"}, 0, "y", "", "lvm", "user", False, {})
        self.refuse("SR_HAS_PBD", [on_disk], "SR.destroy", on_disk)
        self.call("PBD.unplug", self.call("SR.get_PBDs", on_disk)[0])
        self.call("SR.destroy", on_disk)
        sr = self.sr()
        uuid = self.call("SR.get_uuid", sr)
        self.refuse("SR_UUID_EXISTS", [uuid], "SR.introduce", uuid, "x", "", "nfs", "user", True, {})
        pbd = self.call("SR.get_PBDs", sr)[0]
        owner = self.call("PBD.get_host", pbd)
        self.refuse("PBD_EXISTS", [sr, owner, pbd], "PBD.create", dict(host=owner, SR=sr, device_config={}, other_config={}))
        self.refuse("OPERATION_NOT_ALLOWED", ["PBD is attached"], "PBD.destroy", pbd)
        self.refuse("SR_HAS_PBD", [sr], "SR.forget", sr)
        self.refuse("SR_NOT_EMPTY", [], "SR.destroy", sr)
        lonely = self.call("SR.introduce", "01234567-89ab-cdef-0123-456789abcdef", "lonely", "", "nfs", "user", True, {})
        self.refuse("SR_HAS_NO_PBDS", [lonely], "VDI.create", dict(name_label="x", name_description="", SR=lonely, virtual_size=1 << 20,
                                                                   type="user", sharable=False, read_only=False, other_config={}))
        pbd = self.call("PBD.create", dict(host=owner, SR=lonely, device_config={"server": "a", "serverpath": "/b"}, other_config={}))
        self.refuse("SR_NOT_ATTACHED", [lonely], "VDI.create", dict(name_label="x", name_description="", SR=lonely, virtual_size=1 << 20,
                                                                    type="user", sharable=False, read_only=False, other_config={}))
        self.call("PBD.destroy", pbd)
        self.call("SR.add_to_other_config", lonely, "indestructible", "true")
        self.refuse("SR_INDESTRUCTIBLE", [lonely], "SR.forget", lonely)
        self.call("SR.remove_from_other_config", lonely, "indestructible")
        self.call("SR.forget", lonely)
        tools = next(ref for ref, each in self.call("SR.get_all_records").items() if each["content_type"] != "user")
        self.refuse("SR_OPERATION_NOT_SUPPORTED", [tools], "VDI.create",
                    dict(name_label="x", name_description="", SR=tools, virtual_size=1 << 20, type="user", sharable=False,
                         read_only=False, other_config={}))

    # --- Networks, hosts ---

    def test_networks(self):
        networks = self.call("network.get_all_records")
        physical = next(ref for ref, each in networks.items() if each["PIFs"])
        pif = networks[physical]["PIFs"][0]
        self.refuse("NETWORK_CONTAINS_PIF", [None], "network.destroy", physical)
        internal = self.call("network.create", dict(name_label="x", name_description="", MTU=1500, other_config={}, bridge="", managed=True,
                                                    tags=[]))
        vif = self.call("VIF.create", dict(device="4", network=internal, VM=self.a_vm("Halted"), MAC="", MTU=1500, other_config={},
                                           qos_algorithm_type="", qos_algorithm_params={}))
        self.refuse("NETWORK_CONTAINS_VIF", [vif], "network.destroy", internal)
        self.call("VIF.destroy", vif)
        self.refuse("NETWORK_INCOMPATIBLE_PURPOSES", ["nbd", "insecure_nbd"], "network.add_purpose", internal, "nbd")
        self.refuse("VLAN_TAG_INVALID", ["5000"], "VLAN.create", pif, 5000, internal)
        self.call("VLAN.create", pif, 17, internal)
        other = self.call("network.create", dict(name_label="y", name_description="", MTU=1500, other_config={}, bridge="", managed=True,
                                                 tags=[]))
        self.refuse("PIF_VLAN_EXISTS", [pif], "VLAN.create", pif, 17, other)
        management = next(ref for ref, each in self.call("PIF.get_all_records").items() if each["management"])
        self.refuse("PIF_IS_MANAGEMENT_INTERFACE", [management], "PIF.unplug", management)
        spare = next(ref for ref, each in self.call("PIF.get_all_records").items() if each["physical"] and not each["management"])
        self.call("PIF.set_disallow_unplug", spare, True)
        self.refuse("PIF_DOES_NOT_ALLOW_UNPLUG", [spare], "PIF.unplug", spare)
        self.call("PIF.set_disallow_unplug", spare, False)
        self.call("network.add_to_other_config", other, "is_guest_installer_network", "true")
        self.refuse("CANNOT_DESTROY_SYSTEM_NETWORK", [other], "network.destroy", other)

    def network(self, name):
        return self.call("network.create", dict(name_label=name, name_description="", MTU=1500, other_config={}, bridge="", managed=True, tags=[]))

    def test_interfaces_of_hosts(self):
        hosts = self.call("host.get_all")
        for host in hosts:
            self.call("PIF.scan", host)
        pifs = {(pif["device"], pif["host"]): ref for ref, pif in self.call("PIF.get_all_records").items() if pif["physical"]}
        first, second = pifs["eth2", hosts[0]], pifs["eth3", hosts[0]]
        self.refuse("MAC_DOES_NOT_EXIST", ["00:11:22:33:44:55"], "PIF.introduce", hosts[0], "00:11:22:33:44:55", "wlan0", True)
        self.refuse("DUPLICATE_PIF_DEVICE_NAME", ["eth2"], "PIF.introduce", hosts[0], "", "eth2", True)
        self.refuse("INVALID_IP_ADDRESS_SPECIFIED", ["netmask"], "PIF.reconfigure_ip", first, "Static", "10.0.0.1", "x", "", "")
        self.refuse("TRANSPORT_PIF_NOT_CONFIGURED", [first], "tunnel.create", first, self.network("t"), "gre")
        self.refuse("PIF_IS_PHYSICAL", [first], "PIF.destroy", first)
        vlan = self.call("VLAN.create", first, 21, self.network("v"))
        tagged = self.call("VLAN.get_untagged_PIF", vlan)
        self.refuse("PIF_IS_NOT_PHYSICAL", [tagged], "PIF.forget", tagged)
        self.refuse("PIF_VLAN_STILL_EXISTS", [first], "PIF.forget", first)
        self.refuse("NETWORK_ALREADY_CONNECTED", [None, first], "VLAN.create", second, 22, self.call("PIF.get_network", first))
        vif = self.call("VIF.create", dict(device="5", network=self.call("PIF.get_network", tagged), VM=self.a_vm("Running"), MAC="", MTU=1500,
                                           other_config={}, qos_algorithm_type="", qos_algorithm_params={}))
        self.call("VIF.plug", vif)
        running_on = self.call("VM.get_resident_on", self.a_vm("Running"))
        if running_on == hosts[0]:
            self.refuse("VIF_IN_USE", [None, vif], "PIF.unplug", tagged)
        self.call("VIF.unplug", vif)
        self.call("VIF.destroy", vif)
        self.call("VLAN.destroy", vlan)
        self.bonds(first, second, pifs["eth2", hosts[1]])

    def bonds(self, first, second, elsewhere):
        network = self.network("b")
        self.refuse("PIF_BOND_NEEDS_MORE_MEMBERS", [], "Bond.create", network, [first], "", "lacp")
        self.refuse("PIF_CANNOT_BOND_CROSS_HOST", [], "Bond.create", network, [first, elsewhere], "", "lacp")
        self.call("PIF.reconfigure_ip", first, "Static", "10.1.1.1", "255.0.0.0", "", "")
        tunnel = self.call("tunnel.create", first, self.network("t2"), "gre")
        self.refuse("PIF_TUNNEL_STILL_EXISTS", [first], "PIF.forget", first)
        access = self.call("tunnel.get_access_PIF", tunnel)
        self.refuse("IS_TUNNEL_ACCESS_PIF", [access], "tunnel.create", access, self.network("t3"), "gre")
        self.call("tunnel.destroy", tunnel)
        bond = self.call("Bond.create", network, [first, second], "", "lacp")
        self.assertEqual(self.call("PIF.get_IP", self.call("Bond.get_master", bond)), "10.1.1.1")
        self.refuse("PIF_ALREADY_BONDED", [first], "Bond.create", self.network("b2"), [first, second], "", "lacp")
        self.refuse("CANNOT_PLUG_BOND_SLAVE", [first], "PIF.plug", first)
        self.refuse("CANNOT_ADD_VLAN_TO_BOND_SLAVE", [first], "VLAN.create", first, 23, self.network("v2"))
        self.refuse("CANNOT_ADD_TUNNEL_TO_BOND_SLAVE", [first], "tunnel.create", first, self.network("t4"), "gre")
        self.call("Bond.destroy", bond)
        self.assertEqual(self.call("PIF.get_IP", first), "10.1.1.1")

    def test_hosts(self):
        host = self.call("host.get_all")[0]
        self.refuse("HOST_NOT_DISABLED", [], "host.reboot", host)
        self.refuse("HA_NOT_ENABLED", [], "pool.disable_ha")
        self.call("host.disable", host)
        resident = [vm for vm in self.call("host.get_resident_VMs", host) if not self.call("VM.get_is_control_domain", vm)]
        if resident:
            self.refuse("HOST_IN_USE", [host, "VM", None], "host.shutdown", host)
        self.call("host.enable", host)

    def test_updates(self):
        host = self.call("host.get_all")[0]
        update = self.sim.control("/sim/objects", {"class": "pool_update", "fields": {"name_label": "once"}})["ref"]
        self.call("pool_update.apply", update, host)
        self.refuse("UPDATE_ALREADY_APPLIED", [update], "pool_update.apply", update, host)

    def test_devices_of_hosts(self):
        host = self.call("host.get_all")[0]
        vm = next(ref for ref, vm in self.call("VM.get_all_records").items() if vm["power_state"] == "Halted" and not vm["is_a_template"])
        sticks = [{"path": f"1-{i}", "vendor_id": "0781", "product_id": "5567"} for i in range(7)]
        self.call("host.add_to_other_config", host, "sim:usb", json.dumps(sticks))
        self.call("PUSB.scan", host)
        for pusb in self.call("PUSB.get_all"):
            self.call("PUSB.set_passthrough_enabled", pusb, True)
        groups = self.call("USB_group.get_all")
        vusbs = [self.call("VUSB.create", vm, group, {}) for group in groups[:6]]
        self.refuse("USB_GROUP_CONFLICT", [groups[0]], "VUSB.create", vm, groups[0], {})
        self.refuse("TOO_MANY_VUSBS", ["6"], "VUSB.create", vm, groups[6], {})
        pusb = self.call("USB_group.get_PUSBs", groups[0])[0]
        self.refuse("USB_GROUP_CONFLICT", [groups[0]], "PUSB.set_passthrough_enabled", pusb, False)
        self.refuse("DEVICE_ALREADY_DETACHED", [vusbs[0]], "VUSB.unplug", vusbs[0])
        for vusb in vusbs:
            self.call("VUSB.destroy", vusb)
        self.call("host.remove_from_other_config", host, "sim:usb")
        self.call("PUSB.scan", host)
        self.assertEqual((self.call("PUSB.get_all"), self.call("USB_group.get_all")), ([], []))

    def test_power_of_hosts(self):
        hosts = self.call("host.get_all")
        master = self.call("pool.get_master", self.call("pool.get_all")[0])
        member = next(host for host in hosts if host != master)
        self.refuse("HOST_CANNOT_DESTROY_SELF", [master], "pool.eject", master)
        self.refuse("HOST_IS_LIVE", [member], "host.destroy", member)
        self.refuse("HOST_POWER_ON_MODE_DISABLED", [], "host.power_on", member)
        self.call("VM.start_on", vm := self.call("VM.clone", self.a_vm("Halted"), "a guest"), member, False, False)
        self.refuse("HOST_HAS_RESIDENT_VMS", [member], "pool.eject", member)
        self.call("VM.hard_shutdown", vm)
        self.call("VM.destroy", vm)
        self.call("host.add_to_other_config", member, "sim:refuses-to-enable", "true")
        self.refuse("HOST_DISABLED_UNTIL_REBOOT", [member], "host.enable", member)
        self.call("host.remove_from_other_config", member, "sim:refuses-to-enable")
        pem = "-----BEGIN CERTIFICATE-----\nQUJD\n-----END CERTIFICATE-----"
        self.refuse("SERVER_CERTIFICATE_INVALID", [], "host.install_server_certificate", member, "x", "x", "")
        self.refuse("SERVER_CERTIFICATE_KEY_INVALID", [], "host.install_server_certificate", member, pem, "x", "")
        self.refuse("PIF_NOT_PRESENT", [None, None], "pool.management_reconfigure", self.network("nowhere"))
        bare = next(ref for ref, pif in self.call("PIF.get_all_records").items() if pif["ip_configuration_mode"] == "None")
        self.refuse("PIF_HAS_NO_NETWORK_CONFIGURATION", [bare], "host.management_reconfigure", bare)
        self.assertTrue(all(self.call("host.get_enabled", host) for host in hosts))

    def test_high_availability(self):
        local = next(ref for ref, sr in self.call("SR.get_all_records").items() if sr["content_type"] == "user" and not sr["shared"])
        member = self.call("host.get_all")[1]
        self.refuse("CANNOT_CREATE_STATE_FILE", [], "pool.enable_ha", [], {})
        self.refuse("HA_CONSTRAINT_VIOLATION_SR_NOT_SHARED", [local], "pool.enable_ha", [local], {})
        self.call("pool.enable_ha", [self.sr(shared=True)], {})
        self.refuse("HA_IS_ENABLED", [], "pool.enable_ha", [self.sr(shared=True)], {})
        pifs = [ref for ref, pif in self.call("PIF.get_all_records").items() if pif["host"] == member and pif["physical"]]
        managed = next(pif for pif in pifs if self.call("PIF.get_management", pif))
        other = next(pif for pif in pifs if pif != managed)
        self.refuse("HA_CANNOT_CHANGE_BOND_STATUS_OF_MGMT_IFACE", [], "Bond.create", self.network("hb"), [managed, other], "", "lacp")
        self.call("pool.disable_ha")
        self.assertEqual([vdi for vdi in self.call("VDI.get_all_records").values() if vdi["type"] == "ha_statefile"], [])

    def test_tasks(self):
        vm = self.a_vm("Halted")
        task = self.call("Async.VM.start", vm, False, False)
        self.wait("the operation", lambda: self.call("VM.get_current_operations", vm))
        self.call("task.cancel", task)
        self.assertEqual(self.task(task)["error_info"], ["TASK_CANCELLED", task])
        self.driven.add("TASK_CANCELLED")

    def test_z_all(self):
        """What the code can refuse is driven here or named as driven elsewhere."""
        codes = refusals_in_source()
        self.assertEqual(sorted(code for code in codes if code not in N_PARAMETERS), [], "what the catalogue says of them")
        self.assertEqual(sorted(codes - self.driven - set(ELSEWHERE)), [], "not driven")
        self.assertEqual(sorted(set(ELSEWHERE) - codes - {"HOST_IS_SLAVE"}), [], "no longer there")
        print(f"{len(codes)} refusals, {len(self.driven)} driven here")


del Pool

if __name__ == "__main__":
    unittest.main()
