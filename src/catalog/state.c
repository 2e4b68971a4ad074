/* Written so that an XO may go on where we were stopped, and read as XO of any age wrote it: older
 * ones have no chain, other step names, or a currentBlock of null or -1. */
#include "catalog/state.h"

#include "base/error.h"

#include <stdlib.h>
#include <string.h>

#define STATE_MAX_BYTES (1u << 20)

void merge_state_free(MergeState *state)
{
    if (!state)
        return;
    g_free(state->file);
    g_free(state->ancestor);
    g_clear_pointer(&state->chain, g_ptr_array_unref);
    g_clear_error(&state->fault);
    g_free(state);
}

char *merge_state_file(const char *ancestor)
{
    return g_strconcat(".", ancestor, LAYOUT_MERGE_STATE, NULL);
}

const char *merge_state_target(const MergeState *state)
{
    return state->chain->len > 1 ? state->chain->pdata[state->chain->len - 1] : NULL;
}

static bool is_plain_disk_name(const char *name)
{
    return name && *name && *name != '.' && !strchr(name, '/') &&
           g_str_has_suffix(name, LAYOUT_DISK);
}

static bool parse_chain(MergeState *state, json_t *chain)
{
    gsize i;
    json_t *item;
    if (chain && !json_is_array(chain))
        return false;
    json_array_foreach (chain, i, item) {
        const char *name = json_string_value(item);
        if (name && g_str_has_prefix(name, "./"))
            name += 2;
        if (!is_plain_disk_name(name))
            return false;
        g_ptr_array_add(state->chain, g_strdup(name));
    }
    return state->chain->len == 0 || strcmp(state->chain->pdata[0], state->ancestor) == 0;
}

static bool parse_uid(json_t *holder, DiskUid *uid)
{
    const char *text = json_string_value(json_object_get(holder, "uuid"));
    return text && disk_uid_parse(text, uid);
}

static guint64 positive(json_t *number, guint64 max)
{
    double value = json_number_value(number); /* 0 for null */
    return value > 0 && value <= (double) max ? (guint64) value : 0;
}

static bool parse(MergeState *state, json_t *document)
{
    const char *step = json_string_value(json_object_get(document, "step"));
    if (!json_is_object(document) || !parse_chain(state, json_object_get(document, "chain")))
        return false;
    state->has_uids = parse_uid(json_object_get(document, "child"), &state->child_uid) &&
                      parse_uid(json_object_get(document, "parent"), &state->parent_uid);
    state->from_block = (guint32) positive(json_object_get(document, "currentBlock"), G_MAXUINT32);
    state->merged_bytes = positive(json_object_get(document, "mergedDataSize"), G_MAXINT64);
    state->disk_size_bytes = positive(json_object_get(document, "diskSize"), G_MAXINT64);
    bool cleanup = g_strcmp0(step, "cleanup") == 0 || g_strcmp0(step, "cleanupVhds") == 0;
    state->step = cleanup ? STEP_CLEANUP : STEP_BLOCKS;
    return true;
}

static MergeState *state_new(const char *file)
{
    MergeState *state = g_new0(MergeState, 1);
    state->file = g_strdup(file);
    gsize n = strlen(file), n_around = 1 + strlen(LAYOUT_MERGE_STATE);
    state->ancestor = n > n_around ? g_strndup(file + 1, n - n_around) : g_strdup("");
    state->chain = g_ptr_array_new_with_free_func(g_free);
    return state;
}

MergeState *merge_state_parse(const char *file, const void *data, gsize n)
{
    MergeState *state = state_new(file);
    json_t *document = json_loadb(data ? data : "", n, 0, NULL);
    state->torn = !document && is_plain_disk_name(state->ancestor);
    if (!state->torn && (!is_plain_disk_name(state->ancestor) || !parse(state, document)))
        err_set(&state->fault, ERR_CORRUPT, "the merge state %s is not readable", file);
    json_decref(document);
    return state;
}

static MergeState *state_read(Catalog *catalog, const char *folder, const char *file,
                              GError **error)
{
    g_autofree char *path = g_strjoin("/", folder, file, NULL);
    g_autoptr(GBytes) text = remote_get(catalog->remote, path, STATE_MAX_BYTES, error);
    gsize n;
    const void *data = text ? g_bytes_get_data(text, &n) : NULL;
    return text ? merge_state_parse(file, data, n) : NULL;
}

GPtrArray *merge_states_read(Catalog *catalog, const char *folder, GPtrArray *names, GError **error)
{
    g_autoptr(GPtrArray) states = g_ptr_array_new_with_free_func((GDestroyNotify) merge_state_free);
    for (guint i = 0; i < names->len; i++) {
        const char *name = names->pdata[i];
        if (*name != '.' || !g_str_has_suffix(name, LAYOUT_MERGE_STATE) ||
            layout_is_temporary(name))
            continue;
        MergeState *state = state_read(catalog, folder, name, error);
        if (!state)
            return NULL;
        g_ptr_array_add(states, state);
    }
    return g_steal_pointer(&states);
}

bool merge_state_write(Catalog *catalog, const char *folder, const MergeState *state,
                       GError **error)
{
    g_autofree char *path = g_strjoin("/", folder, state->file, NULL);
    g_autofree char *child = disk_uid_format(&state->child_uid);
    g_autofree char *parent = disk_uid_format(&state->parent_uid);
    json_t *chain = json_array();
    for (guint i = 0; i < state->chain->len; i++)
        json_array_append_new(chain, json_string(state->chain->pdata[i]));
    json_t *document = json_pack("{s:{s:s},s:{s:s},s:o,s:I,s:I,s:s}", "child", "uuid", child,
                                 "parent", "uuid", parent, "chain", chain, "currentBlock",
                                 (json_int_t) state->from_block, "mergedDataSize",
                                 (json_int_t) state->merged_bytes, "step",
                                 state->step == STEP_CLEANUP ? "cleanup" : "mergeBlocks");
    if (state->disk_size_bytes)
        json_object_set_new(document, "diskSize",
                            json_integer((json_int_t) state->disk_size_bytes));
    char *text = json_dumps(document, JSON_COMPACT);
    bool ok = remote_put(catalog->remote, path, text, strlen(text), REMOTE_PUT_OVER, error);
    free(text);
    json_decref(document);
    return ok;
}
