"""What methods refuse: every method in the ways that its own parameters tell, and every refusal that the code of the methods can
raise, from the rows of NO; each with its code and words, and with the pool (asked directly) and what the server keeps as they were.
What the code can raise and no row drives is an error of this test, unless ELSEWHERE names who drives it, or why nobody can."""
import functools
import json
import os
import pathlib
import re
import shlex
import shutil
import sys
import tempfile
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from box import ROOT, Refused, until  # noqa: E402
from ledger import differences  # noqa: E402
from websocket import WebSocket  # noqa: E402
from world import NOWHERE, World  # noqa: E402

SUE = dict(email="sue", password="secret")
GIB = 1 << 30
#: (method, params, code, what the answer says); "$NAME" is what it is in examples, or a function of Refusing.
NO = [
    # --- people ---
    ("user.delete", {"id": "$ME"}, 10, "a user cannot delete itself"),
    ("user.delete", {"id": NOWHERE}, 1, "no such user"),
    ("user.set", {"id": "$ME", "permission": "none"}, 10, "a user cannot change its own permission"),
    ("user.set", {"id": NOWHERE, "email": "x"}, 1, "no such user"),
    ("user.create", {"email": "sue", "password": "x"}, None, "already exists"),
    ("user.create", {"email": "new", "password": "x", "permission": "some"}, 10, "permission: expected"),
    ("user.changePassword", {"oldPassword": "wrong", "newPassword": "x"}, 8, "invalid credentials"),
    ("user.removeAuthProvider", {"id": NOWHERE, "authProvider": "x"}, 1, "no such user"),
    ("token.create", {"expiresIn": "1 second"}, None, "expiresIn"),
    ("token.set", {"id": "none"}, 1, "no such authenticationToken"),
    ("group.set", {"id": NOWHERE, "name": "x"}, 1, "no such group"),
    ("group.delete", {"id": NOWHERE}, 1, "no such group"),
    ("group.setUsers", {"id": NOWHERE, "userIds": []}, 1, "no such group"),
    ("group.addUser", {"id": NOWHERE, "userId": "$USER"}, 1, "no such group"),
    ("group.removeUser", {"id": NOWHERE, "userId": "$USER"}, 1, "no such group"),
    ("acl.add", {"subject": "$USER", "object": "$VM", "action": "owner"}, None, "action: expected viewer, operator or admin"),
    ("acl.explain", {"method": "vm.dance"}, 1, "no such method vm.dance"),
    ("system.methodSignature", {"method": "vm.dance"}, 1, "no such method vm.dance"),
    ("session.signIn", {"email": "sue", "password": "wrong"}, 3, "invalid credentials"),
    ("session.signInWithToken", {"token": "wrong"}, 3, "invalid credentials"),
    ("role.addPrivilege", {"roleId": "$ROLE", "resource": "nothing", "action": "read"}, 10, "resource: nothing is none that privileges are given on"),
    # --- records ---
    ("cloudConfig.update", {"id": NOWHERE, "name": "x"}, 1, "no such cloud config"),
    ("cloudConfig.delete", {"id": NOWHERE}, 1, "no such cloud config"),
    ("resourceSet.get", {"id": NOWHERE}, 1, "no such resourceSet"),
    ("resourceSet.set", {"id": NOWHERE, "name": "x"}, 1, "no such resourceSet"),
    ("resourceSet.delete", {"id": NOWHERE}, 1, "no such resourceSet"),
    *((f"resourceSet.{verb}Object", {"id": NOWHERE, "object": "$SR"}, 1, "no such resourceSet") for verb in ("add", "remove")),
    *((f"resourceSet.{verb}Subject", {"id": NOWHERE, "subject": "$USER"}, 1, "no such resourceSet") for verb in ("add", "remove")),
    ("resourceSet.addLimit", {"id": NOWHERE, "limitId": "cpus", "quantity": 1}, 1, "no such resourceSet"),
    ("resourceSet.addLimit", {"id": "$RESOURCE_SET", "limitId": "cpus", "quantity": -1}, 10, "quantity: expected a number from 0"),
    ("resourceSet.removeLimit", {"id": NOWHERE, "limitId": "cpus"}, 1, "no such resourceSet"),
    ("resourceSet.create", {"name": "x", "limits": {"cpus": "many"}}, None, "limits.cpus: expected a number from 0"),
    ("remote.get", {"id": NOWHERE}, 1, "no such remote"),
    ("remote.set", {"id": NOWHERE, "name": "x"}, 1, "no such remote"),
    ("remote.delete", {"id": NOWHERE}, 1, "no such remote"),
    ("remote.test", {"id": NOWHERE}, 1, "no such remote"),
    ("remote.create", {"name": "x", "url": "file:///x/xo-vm-backups"}, 10, "remote url should not end with xo-vm-backups"),
    ("remote.create", {"name": "x", "url": "file:///x?encryptionKey=%22k%22"}, 10, "Encryption must be used with VHD directory"),
    ("server.remove", {"id": NOWHERE}, 1, "no such xenServer"),
    ("server.set", {"id": NOWHERE, "label": "x"}, 1, "no such xenServer"),
    ("server.enable", {"id": NOWHERE}, 1, "no such xenServer"),
    ("server.disable", {"id": NOWHERE}, 1, "no such xenServer"),
    ("server.enable", {"id": "$SERVER"}, 25, "incorrect state"),
    ("server.set", {"id": "$SERVER", "username": "x"}, None, "is connected: disconnect it before changing how"),
    ("server.add", {"host": "$SERVER_HOST", "username": "x", "password": "x", "autoConnect": False}, 16, "server already exists"),
    ("server.add", {"host": "other", "username": "x", "password": "x", "autoConnect": False, "httpProxy": "http://x"}, None, "proxies are not supported"),
    # --- jobs, backups ---
    ("job.get", {"id": NOWHERE}, 1, "no such job"),
    ("job.create", {"job": {"type": "backup", "key": "k", "method": "m"}}, 10, "type: expected \"call\""),
    ("job.set", {"job": {"name": "x"}}, 10, "job: expected an id"),
    ("job.set", {"job": {"id": NOWHERE, "name": "x"}}, 1, "no such job"),
    ("job.delete", {"id": NOWHERE}, 1, "no such job"),
    ("job.cancel", {"runId": NOWHERE}, 1, NOWHERE),
    ("job.runSequence", {"idSequence": [NOWHERE]}, 1, "no such job"),
    ("schedule.get", {"id": NOWHERE}, 1, "no such schedule"),
    ("schedule.set", {"id": NOWHERE, "enabled": False}, 1, "no such schedule"),
    ("schedule.delete", {"id": NOWHERE}, 1, "no such schedule"),
    ("schedule.create", {"jobId": "$JOB", "cron": "whenever"}, 10, "cron"),
    ("schedule.runSequence", {"schedules": [NOWHERE]}, 1, "no such schedule"),
    ("backupNg.getJob", {"id": NOWHERE}, 1, "no such job"),
    ("backupNg.editJob", {"id": NOWHERE, "name": "x"}, 1, "no such job"),
    ("backupNg.deleteJob", {"id": NOWHERE}, 1, "no such job"),
    ("backupNg.runJob", {"id": NOWHERE, "schedule": "x"}, 1, "no such job"),
    ("backupNg.createJob", {"mode": "delta", "vms": {}, "schedules": 1}, 10, "schedules"),
    ("backupNg.deleteVmBackup", {"id": "x"}, 10, "is not the id of a backup"),
    ("backupNg.deleteVmBackups", {"ids": ["x"]}, 10, "is not the id of a backup"),
    ("backupNg.importVmBackup", {"id": "x", "sr": "$SR"}, 10, "backup id .*: expected"),
    ("metadataBackup.getJob", {"id": NOWHERE}, 1, "no such job"),
    ("mirrorBackup.getJob", {"id": NOWHERE}, 1, "no such job"),
    *((f"plugin.{verb}", {"id": NOWHERE}, 1, "no such plugin") for verb in "load unload enableAutoload disableAutoload purgeConfiguration".split()),
    ("plugin.configure", {"id": NOWHERE, "configuration": {}}, 1, "no such plugin"),
    ("plugin.test", {"id": NOWHERE, "data": {}}, 1, "no such plugin"),
    ("plugin.load", {"id": "transport-email"}, 10, "plugin not configured: transport-email"),
    ("plugin.unload", {"id": "transport-email"}, 10, "plugin already unloaded: transport-email"),
    ("plugin.test", {"id": "transport-email", "data": {"to": "a@example.org"}}, 10, "plugin not loaded: transport-email"),
    ("plugin.configure", {"id": "transport-email", "configuration": {"from": {"address": "a@example.org"}}}, 10,
     "the configuration of plugin transport-email: must have required property 'transport'"),
    ("plugin.configure", {"id": "transport-email", "configuration": {"from": {"address": "nobody"}, "transport": {"host": "x"}}}, 10,
     "/from/address must match pattern"),
    # --- all objects ---
    ("tag.add", {"id": "$PBD", "tag": "x"}, 10, "objects of type PBD have no tags"),
    ("tag.remove", {"id": "$PBD", "tag": "x"}, 10, "objects of type PBD have no tags"),
    *((f"customField.{verb}", {"id": "$PBD", "name": "x", "value": "x"}, 10, "objects of type PBD have no custom fields") for verb in ("add", "set")),
    ("customField.remove", {"id": "$PBD", "name": "x"}, 10, "objects of type PBD have no custom fields"),
    # --- networks ---
    ("network.create", {"pool": "$POOL", "name": "x", "mtu": 20000000}, 10, "mtu: 20000000 is not between"),
    ("network.create", {"pool": "$POOL", "name": "x", "pif": "$PIF", "vlan": 5000}, 10, "vlan: 5000 is not between 0 and"),
    ("network.create", {"pool": "$POOL", "name": "x", "pif": "$FOREIGN_PIF", "vlan": 5}, 10, "is not an interface of pool"),
    ("network.create", {"pool": "$POOL", "name": "x", "pif": "$TAGGED_PIF_BASE", "vlan": "$TAGGED_TAG"}, 16, "PIF already exists"),
    ("network.createBonded", {"pool": "$POOL", "name": "x", "pifs": ["$VLAN_PIF", "$PIF"], "bondMode": "lacp"}, 10, "is no interface of the host itself"),
    ("network.createBonded", {"pool": "$POOL", "name": "x", "pifs": ["$FIRST_PIF", "$FOREIGN_PIF"], "bondMode": "lacp"}, 10, "is not an interface of pool"),
    ("network.createBonded", {"pool": "$POOL", "name": "x", "pifs": ["$FIRST_PIF", "$MEMBERS_PIF"], "bondMode": "lacp"}, 10, "is on another host"),
    ("network.createBonded", {"pool": "$POOL", "name": "x", "pifs": ["$FIRST_PIF"], "bondMode": "lacp"}, 10, "a bond has 2 to"),
    ("network.set", {"id": "$NETWORK", "mtu": 20000000}, 10, "mtu: 20000000 is not between"),
    ("network.delete", {"id": "$NETWORK"}, None, "PIF|VIF"),
    ("pif.editPif", {"id": "$VLAN_PIF", "vlan": "many"}, 10, "vlan: must be a number between 0 and"),
    ("pif.editPif", {"id": "$PIF", "vlan": 5}, 10, "has no VLAN that could be changed"),
    ("pif.disconnect", {"id": "$PIF"}, None, "PIF_IS_MANAGEMENT_INTERFACE"),
    ("pif.delete", {"id": "$PIF"}, None, "PIF_IS_PHYSICAL"),
    ("pif.reconfigureIp", {"id": "$VLAN_PIF", "mode": "Static", "ip": "nonsense", "netmask": "x"}, None, "INVALID_IP_ADDRESS_SPECIFIED"),
    ("pif.reconfigureIp", {"id": "$VLAN_PIF", "mode": "Guess"}, 10, "mode"),
    ("pbd.delete", {"id": "$PBD"}, None, "OPERATION_NOT_ALLOWED|attached"),
    # --- hosts, pools ---
    ("host.start", {"id": "$MEMBER"}, None, "HOST_POWER_ON_MODE_DISABLED"),
    ("pool.managementReconfigure", {"pool": "$POOL", "network": "$FOREIGN_NETWORK"}, 10, "is not a network of pool"),
    ("pool.installPatches", {}, 10, "name the pool, or the hosts"),
    ("pool.installPatches", {"pool": "$POOL", "patches": ["x"]}, None, "installs all updates that wait, not single ones"),
    ("pool.enableHa", {"pool": "$HA_POOL", "heartbeatSrs": ["$SR"], "configuration": {}}, None, "HA_IS_ENABLED"),
    ("pool.rollingReboot", {"pool": "$HA_POOL"}, None, "high availability is on"),
    ("pool.rollingReboot", {"pool": "$LAME_POOL"}, None, "is down: all hosts must run"),
    ("host.installCertificate", {"id": "$HOST", "certificate": "none", "privateKey": "none"}, None, "SERVER_CERTIFICATE"),
    ("host.setSchedulerGranularity", {"host": "$HOST", "schedulerGranularity": "thread"}, 10, "schedulerGranularity"),
    ("host.stats", {"host": "$HOST", "granularity": "years"}, 10, "granularity: expected seconds, minutes, hours or days"),
    ("host.detach", {"id": "$MASTER"}, None, "master"),
    ("host.forget", {"id": "$MEMBER"}, None, "is up"),
    # --- storage ---
    ("sr.destroy", {"id": "$SR"}, None, r"has \d+ disks: delete them"),
    ("sr.forget", {"id": "$INDESTRUCTIBLE_SR"}, None, "SR_INDESTRUCTIBLE"),
    ("sr.create", {"host": "$HOST", "SR_type": "nfs", "name_label": "x", "device_config": {"server": 1}}, 10, "device_config: server must be a text"),
    ("sr.createNfs", {"host": "$HOST", "nameLabel": "x", "nameDescription": "", "server": "gone.invalid", "serverPath": "/x"}, None, ""),
    ("sr.createLvm", {"host": "$HOST", "nameLabel": "x", "nameDescription": "", "device": "$TAKEN_DEVICE"}, None, "SR_DEVICE_IN_USE|in use"),
    ("sr.reclaimSpace", {"id": "$DETACHED_SR"}, None, "is attached to no host: attach it first"),
    ("sr.reclaimSpace", {"id": "$SR"}, None, "not supported"),
    ("sr.enableMaintenanceMode", {"id": "$BUSY_SR"}, 25, "has disks on SR .* and runs: name it in vmsToShutdown"),
    ("sr.enableMaintenanceMode", {"id": "$MAINTAINED_SR"}, 25, "is already in maintenance mode"),
    ("sr.disableMaintenanceMode", {"id": "$SPARE_SR"}, 25, "is not in maintenance mode"),
    ("disk.create", {"name": "x", "size": GIB, "sr": "$FOREIGN_SR", "vm": "$VM"}, 10, "is not in the pool of VM"),
    ("disk.create", {"name": "x", "size": "a lot", "sr": "$SR"}, 10, "size: .* is no size: expected bytes"),
    ("disk.import", {"sr": "$SR", "name": "x", "type": "raw", "url": "ftp://nas/disk"}, 10, "begins with neither http:// nor https://"),
    ("vm.import", {"sr": "$SR", "url": "$NO_PAGE"}, None, "the server behind the url answered HTTP 404"),
    ("vm.import", {"sr": "$SR", "url": "ftp://nas/machine"}, 10, "begins with neither http:// nor https://"),
    ("vm.import", {"sr": "$SR", "url": "http://nas/machine", "type": "ova"}, 10, "URL import is only compatible with XVA"),
    ("vm.import", {"sr": "$SR", "type": "ova", "data": {"networks": [5]}}, 10, "data: networks: 0: expected a network of the pool"),
    ("vdi.set", {"id": "$DISK", "size": 512}, 10, r"cannot set new size \(512\) below the current size"),
    ("vdi.delete", {"id": "$PLUGGED_DISK"}, None, "VDI_IN_USE|in use"),
    ("vdi.migrate", {"id": "$DISK", "sr_id": "$FOREIGN_SR"}, 10, "sr_id: storage .* is not in the pool of disk"),
    ("vdi.migrate", {"id": "$DISK", "sr_id": NOWHERE}, 1, "no such SR"),
    # --- devices ---
    ("vbd.create", {"VM": "$VM"}, 10, "VDI: a device that is not empty needs a disk"),
    ("vbd.create", {"VM": "$VM", "VDI": "$FOREIGN_DISK"}, 10, "VDI: .* is not in the pool of VM"),
    ("vbd.set", {"id": "$VBD", "position": 256}, 10, "position: 256 is none, they go from 0 to"),
    ("vbd.set", {"id": "$PLUGGED_VBD", "position": 0}, 10, "is taken by a device that is in use: stop the VM first"),
    ("vbd.connect", {"id": "$PLUGGED_VBD"}, None, "DEVICE_ALREADY_ATTACHED"),
    ("vbd.connect", {"id": "$VBD"}, 13, "VM state is .* but should be"),
    ("vbd.disconnect", {"id": "$UNPLUGGED_VBD"}, None, "DEVICE_ALREADY_DETACHED"),
    ("vif.connect", {"id": "$VIF"}, 13, "VM state is .* but should be"),
    ("vif.set", {"id": "$VIF", "lockingMode": "ajar"}, 10, "lockingMode"),
    ("vif.set", {"id": "$VIF", "network": "$VM"}, 1, "no such network"),
    ("vm.createInterface", {"vm": "$CROWDED_VM", "network": "$NETWORK"}, 10, "can have no more interfaces"),
    ("vm.createInterface", {"vm": "$SPARE_VM", "network": "$NETWORK", "mac": "nonsense"}, None, "MAC_INVALID"),
    ("vm.attachDisk", {"vm": "$VM", "vdi": "$DISK", "position": "999"}, None, "INVALID_DEVICE|position"),
    ("vm.insertCd", {"id": "$LOADED_VM", "cd_id": "$ISO", "force": False}, None, "VBD_NOT_EMPTY"),
    ("vm.setBootOrder", {"vm": "$PV_VM", "order": "c"}, 10, "You can only set the boot order on a HVM guest"),
    # --- power ---
    ("vm.start", {"id": "$RUNNING_VM"}, 13, "VM state is .* but should be"),
    ("vm.start", {"id": "$BLOCKED_VM"}, 5, "forbidden operation: Start"),
    ("vm.recoveryStart", {"id": "$PV_VM"}, 10, "is paravirtualized and boots from no drive"),
    ("vm.recoveryStart", {"id": "$BLOCKED_VM"}, 5, "forbidden operation"),
    ("vm.stop", {"id": "$HALTED_VM"}, 13, "VM state is .* but should be"),
    ("vm.stop", {"id": "$TOOLLESS_VM"}, 10, "clean shutdown requires PV drivers"),
    ("vm.restart", {"id": "$HALTED_VM"}, 13, "VM state is .* but should be"),
    ("vm.pause", {"id": "$HALTED_VM"}, 13, "VM state is .* but should be"),
    ("vm.suspend", {"id": "$HALTED_VM"}, 13, "VM state is .* but should be"),
    ("vm.resume", {"id": "$HALTED_VM"}, 13, "VM state is .* but should be"),
    ("vm.setAndRestart", {"id": "$HALTED_VM", "CPUs": 1}, 13, "VM state is .* but should be"),
    ("vm.stats", {"id": "$HALTED_VM"}, 25, "incorrect state"),
    ("vm.stats", {"id": "$RUNNING_VM", "granularity": "years"}, 10, "granularity: expected"),
    # --- settings ---
    ("vm.set", {"id": "$HALTED_VM", "cpusMax": 0}, 10, "cpusMax: expected a number from 1"),
    ("vm.set", {"id": "$RUNNING_VM", "memoryStaticMax": 8 * GIB}, 10, "Cannot change memory on running VM"),
    ("vm.set", {"id": "$VM", "memory": "a lot"}, 10, "memory: .* is no size"),
    ("vm.set", {"id": "$VM", "vga": "green"}, 10, "vga: expected one of"),
    ("vm.set", {"id": "$VM", "notes": "n" * 2049}, 10, "notes: more than 2048 characters"),
    ("vm.set", {"id": "$VM", "videoram": 3}, 10, "videoram: expected 1, 2, 4, 8 or 16 MiB"),
    ("vm.set", {"id": "$VM", "xenStoreData": {"a": 1}}, 10, "xenStoreData: a: expected text or null"),
    ("vm.set", {"id": "$VM", "share": True}, 10, "is in no resource set: there is nobody to share it with"),
    ("vm.set", {"id": "$VM", "resourceSet": NOWHERE}, 1, "no such resourceSet"),
    # --- making and unmaking ---
    ("vm.create", {"template": "$TEMPLATE", "name_label": "x", "vgpuType": "x"}, 0, "the parameter vgpuType of vm.create"),
    ("vm.create", {"template": "$TEMPLATE", "name_label": "x", "acls": [{}]}, 10, "acls/0: expected a subject and an action"),
    ("vm.create", {"template": "$TEMPLATE", "name_label": "x", "VDIs": [{"type": "user"}]}, 10, "VDIs: a new disk needs an SR and a size"),
    ("vm.create", {"template": "$DISK_TEMPLATE", "name_label": "x", "VDIs": [{"userdevice": "0", "size": 512}]}, 10, "cannot set new size"),
    ("vm.create", {"template": "$TEMPLATE", "name_label": "x", "VIFs": [{}]}, 10, "VIFs/0: expected a network"),
    ("vm.create", {"template": "$TEMPLATE", "name_label": "x", "VIFs": [{"network": "$NETWORK"}] * 8}, 10, "the VM can have no interface number 7"),
    ("vm.create", {"template": "$TEMPLATE", "name_label": "x", "cloudConfig": "#cloud-config"}, 10, "the VM has no disk beside which the drive could be"),
    ("vm.create", {"template": "$TEMPLATE", "name_label": "x", "resourceSet": NOWHERE}, 1, "no such resourceSet"),
    ("vm.delete", {"id": "$UNDYING_VM"}, 5, "forbidden operation: destroy"),
    ("vm.delete", {"id": "$TEMPLATE"}, 25, "incorrect state"),
    ("vm.convertToTemplate", {"id": "$RUNNING_VM"}, 13, "VM state is .* but should be"),
    ("vm.convert", {"id": "$RUNNING_VM"}, 13, "VM state is .* but should be"),
    ("vm.revert", {"snapshot": "$ORPHAN"}, 10, "the VM of snapshot .* is gone"),
    ("vm.createCloudInitConfigDrive", {"vm": "$VM", "sr": "$FOREIGN_SR", "config": "x"}, 10, "is not in the pool of VM"),
    ("vm.migrate", {"vm": "$RUNNING_VM", "targetHost": "$OTHER_HOST", "mapVdisSrs": {"$DISK": 5}}, 10, "must be mapped to the id of a SR"),
    ("vm.migrate", {"vm": "$RUNNING_VM", "targetHost": "$OTHER_HOST", "mapVdisSrs": {"$DISK": "$FOREIGN_SR"}}, 10, "mapVdisSrs: SR .* is not in the pool of host"),
    ("vm.migrate", {"vm": "$RUNNING_VM", "targetHost": "$OTHER_HOST", "sr": "$FOREIGN_SR"}, 10, "sr: .* is not in the pool of host"),
    ("vm.migrate", {"vm": "$RUNNING_VM", "targetHost": "$OTHER_HOST", "migrationNetwork": "$FOREIGN_NETWORK"}, 10, "migrationNetwork: .* is not in the pool of host"),
    ("vm.migrate", {"vm": "$PINNED_VM", "targetHost": "$OTHER_HOST"}, None, "does not move to host|blocked"),
]
#: As somebody without rights.
NO_RIGHTS = [
    ("user.set", {"id": "$SUES", "permission": "admin"}, 10, "this properties can only changed by an administrator"),
    ("user.set", {"id": "$ME", "preferences": {}}, 2, "not enough permissions"),
    ("acl.explain", {"method": "vm.start", "user": "$ME"}, 2, "not enough permissions"),
    ("resourceSet.get", {"id": "$RESOURCE_SET"}, 2, "not enough permissions"),
    ("vm.set", {"id": "$HER_VM", "resourceSet": None}, 2, "not enough permissions"),
    ("vm.set", {"id": "$HER_VM", "CPUs": 6}, 24, "not enough resources"),
    ("vm.clone", {"id": "$HER_VM", "name": "x", "full_copy": False}, 24, "not enough resources"),
    ("vm.copy", {"vm": "$HER_VM", "sr": "$SR", "name": "x"}, 24, "not enough resources"),
    ("disk.create", {"name": "x", "size": 9 * GIB, "sr": "$SR", "vm": "$HER_VM"}, 24, "not enough resources"),
    ("vm.create", {"template": "$TEMPLATE", "name_label": "x"}, 2, "not enough permissions"),
]
#: What the pool refuses: the call of its that fails, with the example's parameters.
POOL_SAYS_NO = {
    "customField.add": "VM.add_to_other_config", "disk.create": "VDI.create", "disk.import": "VDI.create", "host.disable": "host.disable",
    "host.enable": "host.enable", "host.restartAgent": "host.restart_agent", "host.scanPifs": "PIF.scan", "host.set": "host.set_name_description",
    "host.setMaintenanceMode": "host.disable", "host.setRemoteSyslogHost": "host.remove_from_logging", "host.setSchedulerGranularity": "host.set_sched_gran",
    "message.delete": "message.destroy", "network.create": "network.create", "network.createBonded": "Bond.create", "network.delete": "network.destroy",
    "network.set": "network.set_name_description", "pbd.connect": "PBD.plug", "pbd.delete": "PBD.destroy", "pbd.disconnect": "PBD.unplug",
    "pif.connect": "PIF.plug", "pif.delete": "PIF.destroy", "pif.disconnect": "PIF.unplug", "pif.editPif": "VLAN.destroy",
    "pif.reconfigureIp": "PIF.reconfigure_ip", "pool.disableHa": "pool.disable_ha", "pool.enableHa": "pool.enable_ha", "pool.set": "pool.set_name_description",
    "pool.setDefaultSr": "pool.set_default_SR", "sr.connectAllPbds": "PBD.plug", "sr.disconnectAllPbds": "PBD.unplug", "sr.createNfs": "SR.create",
    "sr.createExt": "SR.create", "sr.createIso": "SR.create", "sr.createSmb": "SR.create", "sr.destroy": "SR.destroy", "sr.forget": "SR.forget",
    "sr.scan": "SR.scan", "sr.set": "SR.set_name_description", "tag.add": "VM.add_tags", "task.cancel": "task.cancel", "task.destroy": "task.destroy",
    "vbd.connect": "VBD.plug", "vbd.create": "VBD.create", "vbd.delete": "VBD.destroy", "vbd.disconnect": "VBD.unplug", "vbd.setBootable": "VBD.set_bootable",
    "vdi.create": "VDI.create", "vdi.delete": "VDI.destroy", "vdi.migrate": "VDI.pool_migrate", "vdi.set": "VDI.set_name_label", "vif.connect": "VIF.plug",
    "vif.delete": "VIF.destroy", "vif.disconnect": "VIF.unplug_force", "vm.attachDisk": "VBD.create", "vm.clone": "VM.clone", "vm.copy": "VM.copy",
    "vm.convertToTemplate": "VM.set_is_a_template", "vm.copyToTemplate": "VM.set_is_a_template", "vm.create": "VM.clone", "vm.createInterface": "VIF.create",
    "vm.createCloudInitConfigDrive": "VDI.create", "vm.delete": "VM.destroy", "vm.ejectCd": "VBD.eject", "vm.insertCd": "VBD.insert",
    "vm.migrate": "VM.pool_migrate", "vm.pause": "VM.pause", "vm.restart": "VM.hard_reboot", "vm.resume": "VM.resume", "vm.revert": "VM.revert",
    "vm.set": "VM.set_name_description", "vm.setBootOrder": "VM.set_HVM_boot_params", "vm.snapshot": "VM.snapshot", "vm.start": "VM.start",
    "vm.stop": "VM.clean_shutdown", "vm.suspend": "VM.suspend", "vm.warmMigration": "VM.snapshot",
}
BROKEN = ["INTERNAL_ERROR", "broken by the test"]
#: The beginning of what the code says → the test that drives it, or why none does.
ELSEWHERE = {
    "the backup job ": "test_hosts.Hosts.test_backup_guard",
    "the master of the pool, host": "test_hosts.Hosts.test_restart_order",
    " machines on host": "test_hosts.Hosts.test_smart_reboot",
    "host %s is out of service": "test_pools.Pools.test_rolling_refused",
    "VM %s cannot leave its host": "test_pools.Pools.test_rolling_refused",
    "the pool has one host": "test_pools.Alone.test_alone",
    "the updates were not installed": "test_pools.Pools.test_patches",
    "pcis: ": "test_pool_methods.Methods.test_pci_refused",
    "is in service, and this restarts it": "test_pool_methods.Methods.test_memory",
    "memory: expected a number of bytes": "test_pool_methods.Methods.test_memory",
    "no certificate that can be read": "test_pool_methods.Methods.test_key",
    "addresses: %s: expected": "test_pool_methods.Methods.test_ip_pools",
    "sources: ": "test_pool_merge.Merging.test_merging",
    "cannot be merged into": "test_pool_merge.Merging.test_merging",
    "the hosts are not compatible": "test_pool_merge.Merging.test_merging",
    "is attached to no host, so nobody": "test_pool_methods.Methods.test_stats",
    "room for the ISO": "test_pool_methods.Methods.test_packs_refused",
    "say how long the ISO is": "test_pool_methods.Methods.test_packs_refused",
}
UNDRIVEN = {
    "updates are known of XCP-ng alone": "every simulated host runs XCP-ng", "it ended at host": "a restart that fails takes minutes to be given up",
    "gave statistics in steps": "the simulator's clocks are right", "made no machine of": "the simulator makes one, or says why not",
    "has no management network": "every simulated pool has one", "has no management interface": "every simulated host has one",
    "is not of the pool of VM": "the other simulated pool has no USB devices", "addresses: more than": "a limit that takes too long to reach",
    "have different patches": "simulated hosts keep no record of them", "which does not show it yet": "minutes of waiting",
    "has no driver for storages": "every simulated pool has all", "the status of a host": "a file of gigabytes, or a full disk",
    "too long for an archive": "addresses of simulated hosts are short",
    "say where disk": "every simulated pool has a default storage", "were not merged": "the simulator's plug-in merges",
    "there are already": "a limit that takes too long to reach",
    "no JSON": "plug-ins of the simulator answer JSON", "no list": "plug-ins of the simulator answer JSON", "is no time": "the simulator tells times",
    "has not come back": "minutes of waiting", "is still down": "minutes of waiting", "has not become the master": "minutes of waiting",
}


def said_in_source(text):
    """A pattern of what a call that sets an error says, of its format."""
    text = re.sub(r'"\s*(?:G_GINT64_FORMAT|PRI\w+)\s*"', "d%d", text)
    literals = "".join(re.findall(r'"((?:\\.|[^"\\])*)"', text))
    return literals.replace('\\"', '"')


def is_said(words, answer):
    """The parts of the format, in their order."""
    at = 0
    for part in re.split(r"%[a-z0-9.]*", words):
        at = answer.find(part, at)
        if at < 0:
            return False
        at += len(part)
    return True


def refusals_in_source():
    """(file, line) → the format of each refusal that methods raise with words of their own."""
    folder = pathlib.Path(os.environ.get("CADENZA_SOURCE", ROOT)) / "src/api/methods"
    if not folder.exists():
        raise unittest.SkipTest("the source is not here")
    found = {}
    for path in sorted(folder.glob("*.c")):
        text = path.read_text()
        for call in re.finditer(r"(api_error_invalid|err_set|api_error_set)\((.*?)\);", text, flags=re.S):
            arguments = call[2]
            if call[1] == "api_error_set":  # the data comes before the words
                arguments = re.sub(r"json_pack\((?:[^()]|\([^()]*\))*\)|json_string\([^()]*\)", "", arguments)
            words = re.search(r'"(?:\\.|[^"\\])*"(?:\s*(?:G_GINT64_FORMAT|"(?:\\.|[^"\\])*"))*', arguments, flags=re.S)
            said = said_in_source(words[0]) if words else ""
            if re.sub(r"%l?[a-z]|[^a-z]", "", said):
                found[path.name, text.count("\n", 0, call.start()) + 1] = said
    return found


class Refusing(World):
    """What is there to be refused about."""

    @functools.cache
    def me(self):
        return next(each["id"] for each in self.call("user.getAll") if each["email"] == self.box.user)

    @functools.cache
    def sues(self):
        return self.call("user.create", email="sue", password="secret")

    def server_host(self):
        return self.call("server.getAll")[0]["host"]

    def no_page(self):
        return self.box.url + "/nothing/here"

    # --- another pool ---

    away = None

    def objects(self, **pattern):
        """Of the first pool."""
        return [each for each in self.call("xo.getAllObjects", filter=pattern).values() if not self.away or self.away not in (each.get("$pool"), each["id"])]

    def add_foreign_pool(self):
        here = self.pool()
        self.connected_server()
        self.away = next(id_ for id_ in self.call("xo.getAllObjects", filter={"type": "pool"}) if id_ != here)

    def foreign(self, type_, **more):
        return next(iter(self.call("xo.getAllObjects", filter={"type": type_, "$pool": self.away, **more})))

    def foreign_pif(self):
        return self.foreign("PIF")

    def foreign_network(self):
        return self.foreign("network")

    def foreign_sr(self):
        return self.foreign("SR", content_type="user")

    @functools.cache
    def foreign_disk(self):
        return self.call("disk.create", name="over there", size=1 << 20, sr=self.foreign_sr())

    def members_pif(self):
        device = self.objects(id=self.first_pif())[0]["device"]
        return next(each["id"] for each in self.objects(type="PIF", device=device) if each["$host"] != self.host())

    @functools.cache
    def tagged(self):
        return self.vlan_pif()

    def tagged_pif_base(self):
        return next(each["id"] for each in self.objects(type="PIF", vlan=-1, device="eth1", **{"$host": self.host()}))

    def tagged_tag(self):
        return self.objects(id=self.tagged())[0]["vlan"]

    def lame_pool(self):
        pool = self.calm_pool()
        self.halted_host()
        self.wait(lambda: any(each["power_state"] == "Halted" for each in self.objects(type="host")))
        return pool

    # --- machines in a state ---

    def directly(self, vm, method, *params):
        session = self.sim.session()
        session.call(method, session.call("VM.get_by_uuid", vm), *params)
        session.proxy("close")()
        return vm

    @functools.cache
    def pv_vm(self):
        vm = self.directly(self.spare_vm(), "VM.set_domain_type", "pv")
        self.wait(lambda: self.objects(id=vm)[0]["virtualizationMode"] == "pv")
        return vm

    @functools.cache
    def blocked_vm(self):
        vm = self.spare_vm()
        self.call("vm.set", id=vm, blockedOperations={"start": "not now"})
        return vm

    @functools.cache
    def undying_vm(self):
        vm = self.spare_vm()
        self.call("vm.set", id=vm, blockedOperations={"destroy": "never"})
        return vm

    @functools.cache
    def toolless_vm(self):
        vm = self.directly(self.spare_vm(), "VM.add_to_other_config", "sim:tools", "none")
        self.call("vm.start", id=vm)
        return vm

    @functools.cache
    def pinned_vm(self):
        vm = self.spare_vm()
        self.call("vm.set", id=vm, blockedOperations={"pool_migrate": "stays", "migrate_send": "stays"})
        self.call("vm.start", id=vm, host=self.objects(id=self.running_vm())[0]["$container"])
        return vm

    @functools.cache
    def crowded_vm(self):
        vm = self.spare_vm()
        for _ in range(7 - len(self.objects(type="VIF", **{"$VM": vm}))):
            self.call("vm.createInterface", vm=vm, network=self.network())
        return vm

    @functools.cache
    def disk_template(self):
        vm = self.spare_vm()
        self.call("vm.convertToTemplate", id=vm)
        return vm

    @functools.cache
    def orphan(self):
        """A snapshot whose machine is gone."""
        vm = self.spare_vm()
        snapshot = self.call("vm.snapshot", id=vm, name="orphan")
        self.directly(vm, "VM.destroy")
        self.wait(lambda: not self.objects(id=vm))
        return snapshot

    def plugged_disk(self):
        return self.objects(id=self.plugged_vbd())[0]["VDI"]

    @functools.cache
    def her_vm(self):
        """In a set that it fills."""
        set_ = self.call("resourceSet.create", name="hers", subjects=[self.sues()], objects=[self.sr(), self.disk_template()],
                         limits={"cpus": 5, "vms": 1, "disk": 8 * GIB, "memory": 64 * GIB})
        vm = self.call("vm.create", template=self.disk_template(), name_label="hers", resourceSet=set_["id"], CPUs=2, share=True)
        self.call("acl.add", subject=self.sues(), object=self.sr(), action="operator")
        return vm

    # --- storage in a state ---

    @functools.cache
    def busy_sr(self):
        """With a disk of a machine that runs."""
        sr = self.spare_sr()
        disk = self.call("disk.create", name="busy", size=1 << 20, sr=sr)
        self.call("vm.attachDisk", vm=self.toolless_vm(), vdi=disk)
        return sr

    @functools.cache
    def indestructible_sr(self):
        sr = self.spare_sr()
        session = self.sim.session()
        session.call("SR.add_to_other_config", session.call("SR.get_by_uuid", sr), "indestructible", "true")
        session.proxy("close")()
        return sr

    def taken_device(self):
        self.block_sr()
        return "/dev/sdx"


class Told(unittest.TestCase):
    """One server for all."""
    driven, told = set(), []

    @classmethod
    def setUpClass(cls):
        folder = pathlib.Path(tempfile.mkdtemp(prefix="cadenza-told-"))
        cls.addClassCleanup(shutil.rmtree, folder, ignore_errors=True)
        cls.world, cls.sockets = Refusing(folder), {}
        cls.addClassCleanup(cls.world.stop)
        cls.world.call = cls.call  # quicker than the command line
        cls.world.sues(), cls.world.add_foreign_pool()
        cls.infos = cls.ask("system.getMethodsInfo", {})["result"]

    def tearDown(self):
        """Whatever is refused is in the server's log, which the ledger reads each time."""
        self.call("log.delete", namespace="api", id=list(self.call("log.get", namespace="api")))

    @classmethod
    def ask(cls, method, params, **login):
        """By a connection of a moment ago: one that waits answers no pings."""
        socket, used = cls.sockets.pop(login.get("email"), (None, 0))
        if not socket or time.monotonic() - used > 10:
            socket = WebSocket(cls.world.box.url)
            cls.addClassCleanup(socket.close)
            socket.call("session.signIn", login or {"email": cls.world.box.user, "password": cls.world.box.password})
        try:
            return socket.call(method, params)
        finally:
            cls.sockets[login.get("email")] = socket, time.monotonic()

    @classmethod
    def call(cls, method, **params):
        answer = cls.ask(method, params)
        if "error" in answer:
            raise Refused(answer["error"])
        return answer["result"]

    def filled(self, value):
        """With what the names stand for."""
        if isinstance(value, dict):
            return {self.filled(key): self.filled(each) for key, each in value.items()}
        if isinstance(value, list):
            return [self.filled(each) for each in value]
        return self.world.value(value[1:]) if isinstance(value, str) and value.startswith("$") else value

    def no(self, method, params, code, words, why="", **login):
        """The call is refused so; everything is as it was, a moment later at the latest. What is wrong, or None."""
        before = self.world.ledger.write()
        answer = self.ask(method, params, **login)
        error = answer.get("error")
        shown = f"{method} {json.dumps(params)[:300]}{why}"
        if not error:
            return f"{shown}: is not refused: {json.dumps(answer)[:200]}"
        self.driven.add(method)
        self.told.append(error["message"] + " " + json.dumps(error.get("data"), ensure_ascii=False))
        if (code is not None and error["code"] != code) or not re.search(words, self.told[-1]):
            return f"{shown}: expected {code} {words}, got {json.dumps(error)[:400]}"
        until_ = time.monotonic() + 30
        while changed := differences(before, self.world.ledger.write()):
            if time.monotonic() > until_:
                return f"{shown}: is refused, and yet changes {' '.join(changed)}"
            time.sleep(0.1)
        return None

    def all(self, wrong):
        wrong = [each for each in wrong if each]
        self.assertEqual([], wrong, "\n".join(wrong))

    # --- By the method's own parameters ---

    def sample(self):
        objects = self.world.objects()
        return {type_: next(each["id"] for each in objects if each["type"] == type_) for type_ in {each["type"] for each in objects}}

    def good_looking(self, name, sample):
        """Parameters of the right form; objects that are there."""
        made = {}
        for param, schema in self.infos[name]["params"].items():
            if param == "*" or schema.get("optional") or "default" in schema:
                continue
            if "resolve" in schema:
                made[param] = next((sample[each] for each in schema["resolve"]["types"] if each in sample), NOWHERE)
            elif "enum" in schema:
                made[param] = schema["enum"][0]
            else:
                types = schema.get("type", "string")
                type_ = types if isinstance(types, str) else (types or ["string"])[0]
                made[param] = {"string": "x", "integer": 1, "number": 1, "boolean": False, "object": {}, "array": []}.get(type_)
        return made

    def formal_cases(self, name, sample):
        """(params, code, words)"""
        schemas = {param: schema for param, schema in self.infos[name]["params"].items() if param != "*"}
        good = self.good_looking(name, sample)
        if schemas and "*" not in self.infos[name]["params"]:
            yield dict(good, surplus=1), 10, "surplus"
        for param, schema in schemas.items():
            if param in good:
                yield {key: value for key, value in good.items() if key != param}, 10, param
            if schema.get("type") in ("string", "integer", "number", "boolean"):
                yield dict(good, **{param: {"not": "this"}}), 10, param
            if schema.get("type") in ("object", "array"):
                yield dict(good, **{param: "not this"}), 10, param
            if "enum" in schema:
                yield dict(good, **{param: "none of these"}), 10, param
            if "resolve" in schema:
                yield dict(good, **{param: NOWHERE}), 1, NOWHERE
                other = next(type_ for type_ in ("host", "VM", "SR") if type_ not in schema["resolve"]["types"])
                if "*" not in schema["resolve"]["types"]:
                    yield dict(good, **{param: sample[other]}), 1, sample[other]

    def test_1_forms(self):
        """What is not of the right form, or names what is not there, is refused before anything is done."""
        sample, wrong, n = self.sample(), [], 0
        before = self.world.ledger.write()
        for name in sorted(self.infos):
            for params, code, words in self.formal_cases(name, sample):
                error = self.ask(name, params).get("error") or {"code": "nothing", "message": ""}
                n += 1
                self.driven.add(name)
                if error["code"] != code or words not in json.dumps(error):
                    wrong.append(f"{name} {json.dumps(params)[:200]}: expected {code} {words}, got {json.dumps(error)[:300]}")
        print(f"{n} forms of {len(self.driven)} methods", file=sys.stderr)
        self.all(wrong)
        self.assertEqual(differences(before, self.world.ledger.write()), [])

    def test_2_anonymous(self):
        """Whoever is not signed in is refused all but what is open to anyone."""
        socket = WebSocket(self.world.box.url)
        self.addCleanup(socket.close)
        for name, info in self.infos.items():
            if info.get("permission", "user") is not None:
                self.assertEqual(socket.call(name, {})["error"]["code"], 2, name)
                self.driven.add(name)

    # --- By what it finds ---

    def test_3_rows(self):
        self.all(self.no(method, self.filled(params), code, words) for method, params, code, words in NO)

    def test_4_rights(self):
        self.all(self.no(method, self.filled(params), code, words, **SUE) for method, params, code, words in NO_RIGHTS)

    def example(self, name):
        """The parameters of the method's example."""
        line = re.sub(r"\$([A-Z_]+)", lambda found: self.world.value(found[1]), self.infos[name]["example"])
        params = {}
        for word in shlex.split(line)[2:]:
            key, value = word.split("=", 1)
            schema = self.infos[name]["params"].get(key, {}).get("type")
            if key != "@":
                params[key] = json.loads(value[5:]) if value.startswith("json:") else value == "true" if schema == "boolean" else \
                    json.loads(value) if schema in ("integer", "number") else value
        return params

    def refused_by_pool(self, name, call):
        params = self.example(name)
        if name == "disk.import":
            return None  # the file follows
        for method in (call, f"Async.{call}"):
            self.world.sim.fault(kind="error", method=method, count=100, error=BROKEN)
        try:
            return self.no(name, params, None, "broken by the test|INTERNAL_ERROR", f" ({call} fails)")
        finally:
            self.world.sim.control("/sim/faults/clear", {})

    def test_5_pool(self):
        """What the pool refuses is told with its words, and nothing stays half done."""
        self.all(self.refused_by_pool(name, call) for name, call in POOL_SAYS_NO.items())

    # --- Is that all ---

    def test_6_all(self):
        self.assertEqual(sorted(set(self.infos) - self.driven - {name for name, info in self.infos.items() if not info["params"]}), [])
        missing = []
        for (file, line), said in refusals_in_source().items():
            if not any(is_said(said, each) for each in self.told) and not any(key in said for key in (*ELSEWHERE, *UNDRIVEN)):
                missing.append(f"{file}:{line}: {said}")
        for where in ELSEWHERE.values():
            file, _, test = where.split(".")
            self.assertIn(f"def {test}(", (pathlib.Path(__file__).parent / f"{file}.py").read_text(), where)
        print(f"{len(refusals_in_source())} refusals in the code of the methods, {len(self.told)} answers", file=sys.stderr)
        self.all(missing)


class Unseen(unittest.TestCase):
    """Good ways that leave nothing behind which could be looked up."""

    @classmethod
    def setUpClass(cls):
        folder = pathlib.Path(tempfile.mkdtemp(prefix="cadenza-unseen-"))
        cls.addClassCleanup(shutil.rmtree, folder, ignore_errors=True)
        cls.world = World(folder)
        cls.addClassCleanup(cls.world.stop)

    def socket(self):
        socket = WebSocket(self.world.box.url)
        self.addCleanup(socket.close)
        return socket

    def test_restart(self):
        vm = self.world.running_vm()
        session = self.world.sim.session()
        self.addCleanup(session.proxy("close"))
        ref = session.call("VM.get_by_uuid", vm)
        before = session.call("VM.get_domid", ref)
        self.world.call("vm.restart", id=vm, force=True)
        until(lambda: session.call("VM.get_domid", ref) != before, "another domain", 30)
        self.assertEqual(self.world.state_of(vm), "Running")

    def test_sign_in(self):
        socket, user = self.socket(), {"email": self.world.box.user, "password": self.world.box.password}
        who = socket.call("session.signInWithPassword", user)["result"]
        self.assertEqual(socket.call("session.getUser")["result"], who)
        token = socket.call("token.create")["result"]
        self.assertIs(socket.call("session.signOut")["result"], True)
        self.assertIsNone(socket.call("session.getUser").get("result"))
        self.assertEqual(socket.call("session.signInWithToken", {"token": token})["result"], who)
        self.assertEqual(socket.call("session.getUser")["result"], who)


if __name__ == "__main__":
    unittest.main()
