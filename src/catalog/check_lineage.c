/* The disks of one folder: can each be opened, and is it what its name, its alias, its manifest and
 * its child say? What repair can mend by itself is told with how. */
#include "catalog/checking.h"

#include "base/error.h"
#include "base/mutant.h"
#include "catalog/manifest.h"

#include <string.h>

typedef struct {
    Checking *checking;
    Lineage *lineage;
    GPtrArray *data;     /* paths of the block directories there, once somebody asked */
    GHashTable *claimed; /* data path to the Member that names it */
} Look;

bool check_is_merging(const Lineage *lineage, const char *name)
{
    for (guint i = 0; i < lineage->states->len; i++) {
        const MergeState *state = lineage->states->pdata[i];
        if (!state->fault &&
            (strcmp(state->ancestor, name) == 0 ||
             g_ptr_array_find_with_equal_func(state->chain, name, g_str_equal, NULL)))
            return true;
    }
    return false;
}

Lineage *check_lineage_of(Checking *checking, const char *path)
{
    for (guint i = 0; i < checking->lineages->len; i++) {
        Lineage *lineage = checking->lineages->pdata[i];
        gsize n = strlen(lineage->relative);
        if (strncmp(path, lineage->relative, n) == 0 && path[n] == '/' &&
            !strchr(path + n + 1, '/'))
            return lineage;
    }
    return NULL;
}

static char *path_of(const Look *look, const Member *member)
{
    return g_strjoin("/", look->lineage->folder, member->name, NULL);
}

static void mend(Look *look, const Member *member, FindingKind kind, FindingFix fix, const char *to,
                 const char *words)
{
    g_autofree char *path = path_of(look, member);
    g_hash_table_add(look->checking->mended, look->lineage);
    checking_found(look->checking, kind, fix, path, -1, to, "%s", words);
}

/* --- which disk should it be? --- */

/* As its manifest says, or the disk that continues it. */
static bool wanted_uid(Look *look, const Member *member, DiskUid *uid)
{
    g_autofree char *date = layout_date_of(member->name);
    g_autofree char *relative = g_strjoin("/", look->lineage->relative, member->name, NULL);
    g_autoptr(Manifest) manifest =
        date ? manifest_read(look->checking->catalog, look->checking->vm, date, NULL) : NULL;
    if (manifest && manifest_uid(manifest, relative, uid))
        return true;
    for (guint i = 0; i < look->lineage->members->len; i++) {
        const Member *child = look->lineage->members->pdata[i];
        if (child->parent != member || !child->codec)
            continue;
        *uid = child->info.parent_uid;
        return true;
    }
    return false;
}

static bool list_data(Look *look)
{
    g_autoptr(GError) failure = NULL;
    g_autofree char *folder = g_strjoin("/", look->lineage->folder, "data", NULL);
    if (look->data)
        return true;
    g_autoptr(GPtrArray) names = remote_list(look->checking->catalog->remote, folder, &failure);
    if (!names && !err_is(failure, ERR_NOT_FOUND)) {
        checking_unreadable(look->checking, folder, failure);
        return false;
    }
    look->data = g_ptr_array_new_with_free_func(g_free);
    for (guint i = 0; names && i < names->len; i++)
        g_ptr_array_add(look->data, g_strjoin("/", folder, names->pdata[i], NULL));
    return true;
}

/* "data/<name>" of the block directory with this id; NULL when there is none. */
static char *find_data(Look *look, const DiskUid *uid)
{
    for (guint i = 0; list_data(look) && i < look->data->len; i++) {
        MemberPlace place = { look->data->pdata[i], true };
        g_autoptr(Disk) disk = member_open(look->checking->catalog, &place, false, NULL);
        if (disk && memcmp(&disk->info.uid, uid, sizeof *uid) == 0)
            return g_strdup(place.data + strlen(look->lineage->folder) + 1);
    }
    return NULL;
}

/* --- heads --- */

/* The two copies of the footer: the commonest damage of a flat disk that was cut. */
static bool try_footers(Look *look, const Member *member)
{
    const char *bad = NULL;
    g_autofree char *path = path_of(look, member);
    if (member->place.is_directory || !member->place.data || layout_is_alias(member->name))
        return false;
    g_autoptr(Bytes) bytes = remote_bytes(look->checking->catalog->remote, path, REMOTE_READ, NULL);
    if (!bytes || !vhd_footers_check(bytes, &bad, NULL))
        return false;
    g_autofree char *words =
        g_strdup_printf("the footer at its %s is damaged, the other is sound", bad);
    mend(look, member, FINDING_FOOTER_DAMAGED, FIX_FOOTER, NULL, words);
    return true;
}

static void tell_alias(Look *look, const Member *member)
{
    DiskUid uid;
    g_autofree char *path = path_of(look, member);
    g_autofree char *to = wanted_uid(look, member, &uid) ? find_data(look, &uid) : NULL;
    if (to)
        mend(look, member, FINDING_ALIAS_BROKEN, FIX_ALIAS, to, member->fault->message);
    else
        checking_found(look->checking, FINDING_ALIAS_BROKEN, FIX_NONE, path, -1, NULL, "%s",
                       member->fault->message);
}

static void tell_head(Look *look, const Member *member)
{
    g_autofree char *path = path_of(look, member);
    bool truncated = err_is(member->fault, ERR_TRUNCATED);
    if (layout_is_alias(member->name) && !member->place.data)
        tell_alias(look, member);
    else if (!try_footers(look, member))
        checking_found(look->checking, truncated ? FINDING_DISK_TRUNCATED : FINDING_DISK_DAMAGED,
                       FIX_NONE, path, -1, NULL, "%s", member->fault->message);
}

/* --- names and links --- */

/* The right disk under the right name? */
static bool check_identity(Look *look, const Member *member)
{
    DiskUid uid;
    g_autofree char *path = path_of(look, member);
    if (!wanted_uid(look, member, &uid) || memcmp(&uid, &member->info.uid, sizeof uid) == 0 ||
        MUTANT(check_any_uid)) /* mutant: catalog_check:test_damages */
        return true;
    g_autofree char *want = disk_uid_format(&uid), *have = disk_uid_format(&member->info.uid);
    g_autofree char *words =
        g_strdup_printf("it holds the disk %s, and should hold %s", have, want);
    g_autofree char *to = layout_is_alias(member->name) ? find_data(look, &uid) : NULL;
    if (to)
        mend(look, member, FINDING_ALIAS_WRONG, FIX_ALIAS, to, words);
    else
        checking_found(look->checking,
                       layout_is_alias(member->name) ? FINDING_ALIAS_WRONG : FINDING_DISK_WRONG,
                       FIX_NONE, path, -1, NULL, "%s", words);
    return false;
}

static void check_claim(Look *look, Member *member)
{
    if (!layout_is_alias(member->name) || !member->place.data)
        return;
    g_autofree char *path = path_of(look, member);
    Member *other = g_hash_table_lookup(look->claimed, member->place.data);
    if (other)
        checking_found(look->checking, FINDING_ALIAS_WRONG, FIX_NONE, path, -1, NULL,
                       "it names the same data as %s: %s", other->name, member->place.data);
    else
        g_hash_table_insert(look->claimed, member->place.data, member);
}

static bool is_loop(const Lineage *lineage, const Member *member)
{
    unsigned n_steps = 0;
    for (const Member *at = member; at; at = at->parent)
        if (n_steps++ > lineage->members->len)
            return true;
    return false;
}

static void check_links(Look *look, const Member *member)
{
    g_autofree char *path = path_of(look, member);
    const Member *parent = member->parent;
    if (member->fault)
        checking_found(look->checking, FINDING_PARENT_MISSING, FIX_NONE, path, -1, NULL, "%s",
                       member->fault->message);
    else if (is_loop(look->lineage, member))
        checking_found(look->checking, FINDING_CHAIN_LOOP, FIX_NONE, path, -1, NULL,
                       "its chain of parents comes back to itself");
    else if (parent && parent->codec &&
             memcmp(&member->info.parent_uid, &parent->info.uid, sizeof parent->info.uid) != 0) {
        g_autofree char *want = disk_uid_format(&member->info.parent_uid),
                        *have = disk_uid_format(&parent->info.uid);
        checking_found(look->checking, FINDING_PARENT_WRONG, FIX_NONE, path, -1, NULL,
                       "it continues %s, but its parent %s is %s", want, parent->name, have);
    }
}

/* XO's next merge of such a disk loses one of the two. */
static void check_children(Look *look, const Member *member)
{
    const Member *last = NULL;
    unsigned n = 0;
    for (guint i = 0; member->n_children > 1 && i < look->lineage->members->len; i++) {
        const Member *child = look->lineage->members->pdata[i];
        bool stands = child->parent == member && child->codec;
        last = stands ? child : last;
        n += stands;
    }
    g_autofree char *path = path_of(look, member);
    if (n > 1 && !look->checking->in_use)
        checking_found(look->checking, FINDING_CHAIN_FORKS, FIX_FORK, path, -1, NULL,
                       "%u disks stand on it, %s is the newest", n, last->name);
}

/* --- merges --- */

static void check_states(Look *look)
{
    for (guint i = 0; i < look->lineage->states->len; i++) {
        const MergeState *state = look->lineage->states->pdata[i];
        g_autofree char *path = g_strjoin("/", look->lineage->folder, state->file, NULL);
        if (look->checking->in_use)
            continue;
        if (state->fault)
            checking_found(look->checking, FINDING_MERGE_NOTE_DAMAGED, FIX_NONE, path, -1, NULL,
                           "%s", state->fault->message);
        else
            mend(look, &(Member){ .name = state->file }, FINDING_MERGE_UNFINISHED, FIX_MERGE, NULL,
                 lineage_find(look->lineage, state->ancestor)
                     ? "a merge was interrupted"
                     : "a merge ended and its note was left");
    }
}

void check_lineage(Checking *checking, Lineage *lineage)
{
    Look look = { .checking = checking,
                  .lineage = lineage,
                  .claimed = g_hash_table_new(g_str_hash, g_str_equal) };
    check_states(&look);
    for (guint i = 0; i < lineage->members->len; i++) {
        Member *member = lineage->members->pdata[i];
        if (check_is_merging(lineage, member->name))
            continue;
        if (!member->codec)
            tell_head(&look, member);
        else if (check_identity(&look, member))
            check_links(&look, member);
        check_claim(&look, member);
        check_children(&look, member);
    }
    g_clear_pointer(&look.data, g_ptr_array_unref);
    g_hash_table_unref(look.claimed);
}
