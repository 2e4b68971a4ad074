'use strict'
// Types are erased; this one value is used by name.
exports.VM_POWER_STATE = { HALTED: 'Halted', PAUSED: 'Paused', RUNNING: 'Running', SUSPENDED: 'Suspended' }
