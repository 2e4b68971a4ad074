/* What is written into the audit log (store/audit.h), and what is left out of it: calls that change
 * something, consoles, and calls that were not allowed, by whom, from where, and how they ended.
 * Secrets are replaced, by the parameter tables and by their usual names. */
#pragma once

#include "api/method.h"

enum { AUDIT_MAX_PARAMS_BYTES = 8192 };

/* A copy of what was sent to a method, fit to be shown: `rows` may be NULL. */
json_t *audit_redact(const Param *rows, json_t *params);
/* Whether a call of this method is told when it goes well. */
bool audit_wants(const Method *method);
/* Tells of a call that has ended, in the audit log and, when somebody's failed, in the journal
 * "api": `failure` NULL: well, with `result` (may be NULL). `user` is the public record of the
 * caller, NULL: nobody. Blocks for the disk; what cannot be written is logged. */
void audit_call(const ApiParts *parts, const Method *method, json_t *user, Session *session,
                json_t *params, json_t *result, const GError *failure, gint64 took_ms);
/* Tells of something that is no call: {"consoleOpened", data}. The reference of `data` is taken. */
void audit_event(const ApiParts *parts, const char *event, json_t *user, const char *peer,
                 json_t *data);
