/* Chains of disks that wait to be merged: each snapshot that was deleted leaves a hidden parent,
 * and a storage that cannot keep up with merging them grows slow, then full. */
#include "api/method.h"
#include "api/objects.h"

#include <string.h>

enum { MAX_CHAIN = 1024 };

typedef struct {
    const char *id;
    const char *parent; /* NULL: has none */
    bool managed;
    guint n_children;
} Node;

/* The disks of one storage, by id. */
typedef struct {
    const char *sr;
    GHashTable *nodes; /* id → Node */
    GPtrArray *views;  /* which own the texts */
} Tree;

static void add_node(const char *id, const char *type, GBytes *text, void *user)
{
    Tree *tree = user;
    const char *bytes = g_bytes_get_data(text, NULL);
    if (!strstr(bytes, tree->sr))
        return;
    json_t *view = json_loads(bytes, 0, NULL);
    if (g_strcmp0(json_string_value(json_object_get(view, "$SR")), tree->sr) != 0) {
        json_decref(view);
        return;
    }
    g_ptr_array_add(tree->views, view);
    Node *node = g_new0(Node, 1);
    node->id = json_string_value(json_object_get(view, "uuid"));
    node->parent = json_string_value(json_object_get(view, "parent"));
    node->managed = !g_str_equal(type, "VDI-unmanaged");
    g_hash_table_insert(tree->nodes, (void *) node->id, node);
}

static void view_free(void *view)
{
    json_decref(view);
}

static void tree_init(Tree *tree, const Inventory *inventory, const char *sr)
{
    static const char *const types[] = { "VDI", "VDI-snapshot", "VDI-unmanaged" };
    *tree = (Tree){ sr, g_hash_table_new_full(g_str_hash, g_str_equal, NULL, g_free),
                    g_ptr_array_new_with_free_func(view_free) };
    for (unsigned i = 0; i < G_N_ELEMENTS(types); i++)
        inventory_each(inventory, types[i], add_node, tree);
    GHashTableIter iter;
    gpointer each;
    g_hash_table_iter_init(&iter, tree->nodes);
    while (g_hash_table_iter_next(&iter, NULL, &each)) {
        Node *parent = ((Node *) each)->parent
                           ? g_hash_table_lookup(tree->nodes, ((Node *) each)->parent)
                           : NULL;
        if (parent)
            parent->n_children++;
    }
}

static void tree_clear(Tree *tree)
{
    g_hash_table_unref(tree->nodes);
    g_ptr_array_unref(tree->views);
}

/* How many hidden parents of the disk have no other child: those can be merged. */
static json_int_t n_to_merge(const Tree *tree, const Node *node)
{
    json_int_t n = 0;
    for (unsigned i = 0; i < MAX_CHAIN && node && node->parent; i++) {
        node = g_hash_table_lookup(tree->nodes, node->parent);
        n += node && !node->managed && node->n_children == 1;
    }
    return n;
}

static json_t *unhealthy(const Tree *tree)
{
    json_t *disks = json_object();
    GHashTableIter iter;
    gpointer each;
    g_hash_table_iter_init(&iter, tree->nodes);
    while (g_hash_table_iter_next(&iter, NULL, &each)) {
        const Node *node = each;
        json_int_t n = node->managed ? n_to_merge(tree, node) : 0;
        if (n > 0)
            json_object_set_new(disks, node->id, json_integer(n));
    }
    return disks;
}

static json_t *orphans(const Tree *tree)
{
    json_t *list = json_array();
    GHashTableIter iter;
    gpointer each;
    g_hash_table_iter_init(&iter, tree->nodes);
    while (g_hash_table_iter_next(&iter, NULL, &each)) {
        const Node *node = each;
        if (node->parent && !g_hash_table_contains(tree->nodes, node->parent))
            json_array_append_new(list, json_string(node->id));
    }
    return list;
}

static json_t *chains_info(ApiCall *call, GError **error)
{
    const ApiObject *sr = call_object(call, "id");
    Tree tree;
    tree_init(&tree, sr->inventory, sr->id);
    json_t *info = json_pack("{s:o, s:o}", "unhealthyVdis", unhealthy(&tree),
                             "vdisWithUnknownVhdParent", orphans(&tree));
    tree_clear(&tree);
    return info;
}

static json_t *one_unhealthy(ApiCall *call, GError **error)
{
    const ApiObject *sr = call_object(call, "id");
    Tree tree;
    tree_init(&tree, sr->inventory, sr->id);
    json_t *disks = unhealthy(&tree);
    tree_clear(&tree);
    return disks;
}

/* --- All storages --- */

typedef struct {
    ApiCall *call;
    json_t *all;
} Survey;

static void survey_sr(const char *id, const char *type, GBytes *text, void *user)
{
    Survey *survey = user;
    json_t *view = json_loads(g_bytes_get_data(text, NULL), 0, NULL);
    bool of_disks = g_strcmp0(json_string_value(json_object_get(view, "content_type")), "iso") !=
                        0 &&
                    json_integer_value(json_object_get(view, "size")) > 0;
    json_decref(view);
    Inventory *inventory = NULL;
    g_autoptr(Link)
        link = of_disks ? servers_find(call_parts(survey->call)->servers, id, &inventory) : NULL;
    if (!link)
        return;
    Tree tree;
    tree_init(&tree, inventory, id);
    json_t *disks = unhealthy(&tree);
    if (json_object_size(disks) > 0)
        json_object_set(survey->all, id, disks);
    json_decref(disks);
    tree_clear(&tree);
    inventory_unref(inventory);
}

static json_t *all_unhealthy(ApiCall *call, GError **error)
{
    Survey survey = { call, json_object() };
    servers_each(call_parts(call)->servers, "SR", survey_sr, &survey);
    return survey.all;
}

const Method methods_sr_health[] = {
    { "sr.getVdiChainsInfo", chains_info, PARAMS(REQ(ID("id", "SR", "operate"))),
      .access = ACCESS_USER, .example = "id=$SR",
      .summary = "Which disks of a storage wait to be merged." },
    { "sr.getUnhealthyVdiChainsLength", one_unhealthy, PARAMS(REQ(ID("id", "SR", "operate"))),
      .access = ACCESS_USER, .example = "id=$SR",
      .summary = "How many parents of each disk of a storage wait to be merged." },
    { "sr.getAllUnhealthyVdiChainsLength", all_unhealthy, NULL, .example = "",
      .summary = "How many parents of each disk wait to be merged, of all storages." },
    { NULL },
};
