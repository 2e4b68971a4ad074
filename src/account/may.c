/* The one permission check: administrators may everything; others what a rule of theirs or of their
 * groups grants on the object, or on one it inherits from. */
#include "account/private.h"

#include "base/json_pick.h"
#include "base/mutant.h"

#include <string.h>

enum { MAX_DEPTH = 8, MAX_FIELDS = 2 };

/* From which fields of the object its permissions come besides its own rules. */
static const struct {
    const char *type, *fields[MAX_FIELDS];
} inherits[] = {
    { "host", { "$pool" } },
    { "network", { "$pool" } },
    { "VM-template", { "$pool" } },
    { "SR", { "$container" } },
    { "VM", { "$container" } },
    { "VM-controller", { "$container" } },
    { "VM-snapshot", { "$snapshot_of" } },
    { "VDI", { "$SR", "$VBDs" } },
    { "VDI-snapshot", { "$snapshot_of" } },
    { "VBD", { "VDI" } },
    { "VIF", { "$network", "$VM" } },
    { "PBD", { "host", "SR" } },
    { "PIF", { "$host" } },
    { "PCI", { "$host" } },
    { "task", { "$host" } },
    { "message", { "$object" } },
    { "PUSB", { "host" } },
    { "VUSB", { "vm" } },
    { "USB_group", { "PUSBs" } },
};

typedef struct {
    AccountRights *rights;
    unsigned level;
    AccountObject find;
    void *find_user;
    GHashTable *memo; /* id → 1 (no), 2 (yes); may be NULL */
    json_t *path;     /* the objects that were asked, for people; may be NULL */
} Question;

static bool ask(const Question *question, const char *id, unsigned depth);

/* The text of a member as a string of its own. */
static bool next_id(const JsonPick *pick, size_t *at, char **id)
{
    const char *text;
    size_t n;
    if (!json_pick_text(pick, at, &text, &n))
        return false;
    g_free(*id);
    *id = g_strndup(text, n);
    return true;
}

/* A disk inherits from the machine of each of its VBDs; asking a VBD itself would come back to the
 * disk. */
static bool ask_machine_of(const Question *question, const char *vbd, unsigned depth)
{
    const char *type;
    g_autoptr(GBytes) text = question->find(vbd, &type, question->find_user);
    g_autofree char *id = NULL;
    JsonPick pick = { "VM" };
    size_t at = 0;
    if (text)
        json_pick(g_bytes_get_data(text, NULL), g_bytes_get_size(text), &pick, 1);
    return next_id(&pick, &at, &id) && ask(question, id, depth);
}

static bool ask_one(const Question *question, const char *field_name, const char *id,
                    unsigned depth)
{
    return strcmp(field_name, "$VBDs") == 0 ? ask_machine_of(question, id, depth)
                                            : ask(question, id, depth);
}

/* A field holds an id or several; one is enough, but a group of USB devices needs all of them. */
static bool ask_field(const Question *question, const JsonPick *pick, unsigned depth)
{
    bool all = strcmp(pick->name, "PUSBs") == 0, any = false;
    g_autofree char *id = NULL;
    for (size_t at = 0; next_id(pick, &at, &id);) {
        bool ok = ask_one(question, pick->name, id, depth);
        if (ok != all)
            return ok;
        any = true;
    }
    return all && any;
}

static bool ask_parents(const Question *question, const char *type, GBytes *text, unsigned depth)
{
    for (gsize i = 0; i < G_N_ELEMENTS(inherits); i++) {
        if (strcmp(type, inherits[i].type) != 0)
            continue;
        JsonPick picks[MAX_FIELDS] = { { inherits[i].fields[0] }, { inherits[i].fields[1] } };
        unsigned n_picks = picks[1].name ? 2 : 1;
        json_pick(g_bytes_get_data(text, NULL), g_bytes_get_size(text), picks, n_picks);
        for (unsigned k = 0; k < n_picks; k++)
            if (ask_field(question, &picks[k], depth))
                return true;
    }
    return false;
}

/* The object itself, then what it inherits from. `text` NULL: to be found. */
static bool ask_object(const Question *question, const char *id, const char *type, GBytes *text,
                       unsigned depth)
{
    if (question->path)
        json_array_append_new(question->path, json_string(id));
    if (rights_levels(question->rights, id) & question->level ||
        MUTANT(account_anything)) /* mutant: account:test_may */
        return true;
    if (depth == 0 || !question->find)
        return false;
    g_autoptr(GBytes) found = text ? g_bytes_ref(text)
                                   : question->find(id, &type, question->find_user);
    return found && ask_parents(question, type, found, depth - 1);
}

enum { MEMO_NO = 1, MEMO_YES = 2 };

static bool remember(const Question *question, const char *id, const char *type, GBytes *text,
                     unsigned depth)
{
    unsigned known = GPOINTER_TO_UINT(g_hash_table_lookup(question->memo, id));
    if (known)
        return known == MEMO_YES;
    bool yes = ask_object(question, id, type, text, depth);
    g_hash_table_insert(question->memo, g_strdup(id), GUINT_TO_POINTER(yes ? MEMO_YES : MEMO_NO));
    return yes;
}

static bool ask(const Question *question, const char *id, unsigned depth)
{
    if (!*id)
        return false;
    return question->memo ? remember(question, id, NULL, NULL, depth)
                          : ask_object(question, id, NULL, NULL, depth);
}

bool rights_may(AccountRights *rights, const char *object_id, const char *permission,
                AccountObject find, void *find_user)
{
    Question question = {
        .rights = rights, .level = level_of(permission), .find = find, .find_user = find_user
    };
    return rights->all || ask(&question, object_id, MAX_DEPTH);
}

bool account_may(Accounts *accounts, json_t *user, const char *object_id, const char *permission,
                 AccountObject find, void *find_user)
{
    g_autoptr(AccountRights) rights = account_rights(accounts, user);
    return rights_may(rights, object_id, permission, find, find_user);
}

json_t *account_may_path(Accounts *accounts, json_t *user, const char *object_id,
                         const char *permission, AccountObject find, void *find_user)
{
    g_autoptr(AccountRights) rights = account_rights(accounts, user);
    Question question = { .rights = rights,
                          .level = level_of(permission),
                          .find = find,
                          .find_user = find_user,
                          .path = json_array() };
    ask(&question, object_id, MAX_DEPTH);
    return question.path;
}

/* --- Looking at many objects --- */

struct Viewer {
    Question question;
};

Viewer *viewer_new(AccountRights *rights, AccountObject find, void *find_user)
{
    Viewer *viewer = g_new0(Viewer, 1);
    viewer->question = (Question){
        .rights = rights_ref(rights), .level = LEVEL_VIEW, .find = find, .find_user = find_user
    };
    viewer->question.memo = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    return viewer;
}

void viewer_free(Viewer *viewer)
{
    if (!viewer)
        return;
    g_hash_table_unref(viewer->question.memo);
    rights_unref(viewer->question.rights);
    g_free(viewer);
}

static bool is_listed(const Question *question, const char *id)
{
    return rights_levels(question->rights, id) & LEVEL_LISTED;
}

/* Whether a device is one of a machine, or template, that is listed. */
static bool device_is_listed(const Question *question, GBytes *text)
{
    g_autofree char *id = NULL;
    JsonPick pick = { "VM" };
    size_t at = 0;
    if (text)
        json_pick(g_bytes_get_data(text, NULL), g_bytes_get_size(text), &pick, 1);
    return next_id(&pick, &at, &id) && is_listed(question, id);
}

static bool disk_is_listed(const Question *question, GBytes *text)
{
    g_autofree char *id = NULL;
    JsonPick pick = { "$VBDs" };
    bool listed = false;
    json_pick(g_bytes_get_data(text, NULL), g_bytes_get_size(text), &pick, 1);
    for (size_t at = 0; !listed && next_id(&pick, &at, &id);) {
        const char *type;
        g_autoptr(GBytes) vbd = question->find(id, &type, question->find_user);
        listed = device_is_listed(question, vbd);
    }
    return listed;
}

/* Who may make machines of a template has to know its disks: clients say by their positions what
 * shall become of them. */
static bool belongs_to_listed(const Question *question, const char *type, GBytes *text)
{
    if (!text || !type || !question->find)
        return false;
    return strcmp(type, "VBD") == 0   ? device_is_listed(question, text)
           : strcmp(type, "VDI") == 0 ? disk_is_listed(question, text)
                                      : false;
}

bool viewer_sees(Viewer *viewer, const char *id, const char *type, GBytes *text)
{
    const Question *question = &viewer->question;
    return question->rights->sees_all || is_listed(question, id) ||
           MUTANT(account_sees_all) || /* mutant: account:test_viewer */
           remember(question, id, type, text, MAX_DEPTH) || belongs_to_listed(question, type, text);
}
