/* How a tree of tasks is shown and closed: the status rules of XO's reader, the order of children,
 * errors as JSON, and the closing of what an interrupted run left open. */
#include "base/taskview.h"

#include "base/error.h"
#include "base/json_text.h"
#include "base/mutant.h"

#include <stdlib.h>
#include <string.h>

/* --- Status --- */

/* A failure with one of these messages is a skip. */
static const char *const skip_words[] = { "no disks found", "no VMs match this pattern",
                                          "unhealthy VDI chain", NULL };

static bool is_skip(json_t *node)
{
    return g_strv_contains(skip_words, json_text(json_object_get(node, "result"), "message"));
}

static bool has_retry_warning(json_t *node)
{
    gsize i;
    json_t *warning;
    json_array_foreach (json_object_get(node, "warnings"), i, warning)
        if (strcmp(json_text(warning, "message"), TASKLOG_RETRY_WARNING) == 0)
            return true;
    return false;
}

static bool same_work(json_t *a, json_t *b)
{
    return strcmp(json_text(a, "message"), json_text(b, "message")) == 0 &&
           strcmp(json_text(json_object_get(a, "data"), "id"),
                  json_text(json_object_get(b, "data"), "id")) == 0;
}

static bool was_retried(json_t *failed, json_t *siblings)
{
    gsize i;
    json_t *sibling;
    if (!has_retry_warning(failed))
        return false;
    json_array_foreach (siblings, i, sibling)
        if (same_work(failed, sibling) && strcmp(json_text(sibling, "status"), "success") == 0)
            return true;
    return false;
}

static const char *status_of_children(json_t *children, const char *own)
{
    const char *status = own;
    gsize i;
    json_t *child;
    json_array_foreach (children, i, child) {
        const char *each = json_text(child, "status");
        bool failed = strcmp(each, "failure") == 0 || strcmp(each, "interrupted") == 0;
        if (MUTANT(tasklog_failed_child_ignored)) /* mutant: base_tasklog */
            continue;
        if (failed && !was_retried(child, children))
            return "failure";
        if (strcmp(each, "skipped") == 0 && strcmp(own, "success") == 0)
            status = "skipped";
    }
    return status;
}

static const char *status_of(json_t *node, bool running)
{
    const char *own = json_text(node, "status");
    if (strcmp(own, "pending") == 0)
        return running ? "pending" : "interrupted";
    if (strcmp(own, "interrupted") == 0)
        return own;
    if (strcmp(own, "failure") == 0)
        return is_skip(node) ? "skipped" : "failure";
    return status_of_children(json_object_get(node, "tasks"), own);
}

/* --- Order --- */

static int compare_children(gconstpointer a, gconstpointer b)
{
    json_t *const *left = a, *const *right = b;
    json_t *left_end = json_object_get(*left, "end"), *right_end = json_object_get(*right, "end");
    if (!left_end != !right_end)
        return left_end ? -1 : 1;
    const char *key = left_end ? "end" : "start";
    gint64 x = json_integer_value(json_object_get(*left, key));
    gint64 y = json_integer_value(json_object_get(*right, key));
    return (x > y) - (x < y);
}

static void sort_children(json_t *children)
{
    gsize n = json_array_size(children);
    g_autoptr(GPtrArray) order = g_ptr_array_new_full((guint) n, (GDestroyNotify) json_decref);
    for (gsize i = 0; i < n; i++)
        g_ptr_array_add(order, json_incref(json_array_get(children, i)));
    g_ptr_array_sort(order, compare_children);
    for (gsize i = 0; i < n; i++)
        json_array_set(children, i, order->pdata[i]);
}

json_t *task_arrange(json_t *node, bool running)
{
    json_t *children = json_object_get(node, "tasks");
    gsize i;
    json_t *child;
    json_array_foreach (children, i, child)
        task_arrange(child, running);
    if (children)
        sort_children(children);
    json_object_set_new(node, "status", json_string(status_of(node, running)));
    return node;
}

/* --- Compact children of the root --- */

#define SPOOLED "_spooled" /* [where, bytes] in the spool */

bool task_takes_part_in_retry(json_t *node, json_t *siblings)
{
    gsize i;
    json_t *sibling;
    if (has_retry_warning(node))
        return true;
    json_array_foreach (siblings, i, sibling)
        if (sibling != node && same_work(node, sibling) && has_retry_warning(sibling))
            return true;
    return false;
}

SpooledTask task_spool(json_t *node, TaskSpool *spool)
{
    char *dump = json_dumps(task_arrange(node, false), JSON_COMPACT);
    gsize n = dump ? strlen(dump) : 0;
    SpooledTask task = { .end_ms = json_integer_value(json_object_get(node, "end")),
                         .at = task_spool_add(spool, dump, n),
                         .n_bytes = (guint32) n };
    g_strlcpy(task.status, json_text(node, "status"), sizeof task.status);
    free(dump);
    return task;
}

json_t *task_spooled(const SpooledTask *task)
{
    return json_pack("{s:I, s:s, s:[I, I]}", "end", (json_int_t) task->end_ms, "status",
                     task->status, SPOOLED, (json_int_t) task->at, (json_int_t) task->n_bytes);
}

/* The text of a spooled task, appended; false when the node is whole, or the text cannot be read.
 */
static bool append_spooled(json_t *node, TaskSpool *spool, GString *out)
{
    json_t *place = json_object_get(node, SPOOLED);
    return place &&
           task_spool_append_to(spool, (guint64) json_integer_value(json_array_get(place, 0)),
                                (gsize) json_integer_value(json_array_get(place, 1)), out);
}

json_t *task_expand(json_t *root, TaskSpool *spool)
{
    json_t *children = json_object_get(root, "tasks"), *child;
    gsize i;
    json_array_foreach (children, i, child) {
        g_autoptr(GString) stored = g_string_new(NULL);
        json_t *whole = append_spooled(child, spool, stored)
                            ? json_loadb(stored->str, stored->len, 0, NULL)
                            : NULL;
        if (whole)
            json_array_set_new(children, i, whole);
    }
    return root;
}

static void append_child(GString *text, json_t *child, TaskSpool *spool)
{
    if (append_spooled(child, spool, text))
        return;
    char *dump = json_dumps(child, JSON_COMPACT);
    g_string_append(text, dump ? dump : "{}");
    free(dump);
}

/* How long the text will be at least: made at once, a long one never passes through the heap. */
static gsize spooled_bytes(json_t *children)
{
    gsize sum = 0, i;
    json_t *child;
    json_array_foreach (children, i, child)
        sum += 1 + (gsize) json_integer_value(json_array_get(json_object_get(child, SPOOLED), 1));
    return sum;
}

char *task_text(json_t *root, TaskSpool *spool)
{
    json_t *children = json_incref(json_object_get(root, "tasks"));
    json_object_del(root, "tasks");
    char *dump = json_dumps(root, JSON_COMPACT);
    GString *all = g_string_sized_new(spooled_bytes(children) + 4096);
    g_string_append(all, dump ? dump : "{}");
    free(dump);
    if (json_array_size(children) > 0) {
        g_string_truncate(all, all->len - 1); /* the closing brace */
        for (gsize i = 0; i < json_array_size(children); i++) {
            g_string_append(all, i ? "," : all->len > 1 ? ",\"tasks\":[" : "\"tasks\":[");
            append_child(all, json_array_get(children, i), spool);
        }
        g_string_append(all, "]}");
    }
    json_decref(children);
    return g_string_free(all, FALSE);
}

/* --- Errors --- */

static const char *fixed_words(const GError *error)
{
    static const struct {
        ErrCode code;
        const char *words;
    } rows[] = { { ERR_NO_MATCH, "no VMs match this pattern" },
                 { ERR_UNHEALTHY_CHAIN, "unhealthy VDI chain" },
                 { ERR_NO_DISKS, "no disks found" } };
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++)
        if (err_is(error, rows[i].code))
            return rows[i].words;
    return NULL;
}

static json_t *xapi_error(const GError *error)
{
    json_t *params = json_array();
    const char *const *detail = err_detail(error);
    for (unsigned i = 1; detail && detail[0] && detail[i]; i++)
        json_array_append_new(params, json_string(detail[i]));
    return json_pack("{s:s, s:s, s:s, s:o}", "message", error->message, "name", "XapiError", "code",
                     err_xapi_code(error), "params", params);
}

json_t *tasklog_error(const GError *error)
{
    if (!error)
        return json_pack("{s:s, s:s}", "message", "unknown error", "name", "Error");
    if (err_is(error, ERR_XAPI))
        return xapi_error(error);
    const char *words = fixed_words(error);
    g_autofree char *valid = g_utf8_make_valid(error->message, -1);
    json_t *json = json_pack("{s:s, s:s, s:s, s:s}", "message", words ? words : valid, "name",
                             "Error", "code", err_name(error), "remedy", err_remedy(error));
    if (words && strcmp(words, valid) != 0)
        json_object_set_new(json, "detail", json_string(valid));
    return json;
}

/* --- Interrupted runs --- */

static bool close_open(json_t *node, gint64 now_ms)
{
    bool open = !json_object_get(node, "end");
    bool any = open;
    gsize i;
    json_t *child;
    if (!MUTANT(tasklog_close_shallow)) /* mutant: base_tasklog */
        json_array_foreach (json_object_get(node, "tasks"), i, child)
            any |= close_open(child, now_ms);
    if (open) {
        json_object_set_new(node, "end", json_integer(now_ms));
        json_object_set_new(node, "status", json_string("interrupted"));
    }
    return any;
}

bool task_interrupt(json_t *node, gint64 now_ms, const char *reason)
{
    if (!json_object_get(node, "end"))
        close_open(node, now_ms);
    if (strcmp(json_text(node, "status"), "interrupted") != 0)
        return false;
    json_t *warnings = json_object_get(node, "warnings");
    if (!warnings)
        json_object_set_new(node, "warnings", warnings = json_array());
    if (!has_retry_warning(node))
        json_array_append_new(warnings, json_pack("{s:s, s:{s:s}}", "message",
                                                  TASKLOG_RETRY_WARNING, "data", "error", reason));
    return true;
}

bool tasklog_close_interrupted(json_t *root, gint64 now_ms, const char *reason)
{
    bool was_open = !json_object_get(root, "end");
    bool any = close_open(root, now_ms);
    if (was_open)
        json_object_set_new(root, "result",
                            json_pack("{s:s, s:s, s:s}", "message", reason, "name", "Error", "code",
                                      "INTERRUPTED"));
    return any;
}
