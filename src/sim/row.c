/* The fields of a row: defaults, reads, writes, and the sets that mirror references. */
#include "sim/row.h"

#include "base/mutant.h"

#include <string.h>

static Slot slot_copy(const Field *field, Slot slot)
{
    if (field->kind == SLOT_TEXT)
        slot.text = g_ref_string_acquire(slot.text);
    else if (field->kind >= SLOT_SET)
        slot.vec = vec_ref(slot.vec);
    return slot;
}

static void slot_clear(const Field *field, Slot slot)
{
    if (field->kind == SLOT_TEXT)
        g_ref_string_release(slot.text);
    else if (field->kind >= SLOT_SET)
        vec_unref(slot.vec);
}

/* "a,b" for a set, "k=v,k=v" for a map. */
static Vec *vec_parse(SlotKind kind, const char *text)
{
    Vec *vec = NULL;
    g_auto(GStrv) items = g_strsplit(text, ",", -1);
    for (char **item = items; *item != NULL; item++) {
        char *equals = kind == SLOT_MAP ? strchr(*item, '=') : NULL;
        if (equals != NULL)
            *equals = '\0';
        vec_add(&vec, *item);
        if (kind == SLOT_MAP)
            vec_add(&vec, equals == NULL ? "" : equals + 1);
    }
    return vec;
}

static Slot slot_default(const Field *field)
{
    const char *text = field->fallback == NULL ? "" : field->fallback;
    switch (field->kind) {
    case SLOT_INT:
        return (Slot){ .i = g_ascii_strtoll(text, NULL, 10) };
    case SLOT_FLOAT:
        return (Slot){ .f = g_ascii_strtod(text, NULL) };
    case SLOT_BOOL:
        return (Slot){ .b = strcmp(text, "true") == 0 };
    case SLOT_SET:
    case SLOT_MAP:
        return (Slot){ .vec = vec_parse(field->kind, text) };
    default:
        if (*text == '\0' && field->is_ref)
            text = REF_NULL;
        if (*text == '\0' && field->values != NULL) { /* an enumeration is never empty */
            g_autofree char *first = g_strndup(field->values, strcspn(field->values, " "));
            return (Slot){ .text = g_ref_string_new_intern(first) };
        }
        return (Slot){ .text = g_ref_string_new_intern(text) };
    }
}

void table_init(Table *table, Rows *rows, const Class *cls)
{
    table->rows = rows;
    table->cls = cls;
    table->by_uuid = g_hash_table_new(g_str_hash, g_str_equal);
    table->defaults = g_new0(Slot, cls->n_fields);
    for (guint i = 0; i < cls->n_fields; i++)
        table->defaults[i] = slot_default(&cls->fields[i]);
}

void table_clear(Table *table)
{
    while (table->first != NULL)
        row_free(table->first);
    for (guint i = 0; i < table->cls->n_fields; i++)
        slot_clear(&table->cls->fields[i], table->defaults[i]);
    g_free(table->defaults);
    g_hash_table_unref(table->by_uuid);
}

Obj *row_new(Table *table, const char *ref, const char *uuid)
{
    const Class *cls = table->cls;
    Obj *obj = g_malloc0(sizeof *obj + cls->n_fields * sizeof(Slot));
    obj->table = table;
    obj->ref = g_ref_string_new_intern(ref);
    for (guint i = 0; i < cls->n_fields; i++)
        obj->slots[i] = slot_copy(&cls->fields[i], table->defaults[i]);
    if (cls->uuid >= 0 && uuid != NULL) {
        g_ref_string_release(obj->slots[cls->uuid].text);
        obj->slots[cls->uuid].text = g_ref_string_new_intern(uuid);
        g_hash_table_insert(table->by_uuid, obj->slots[cls->uuid].text, obj);
    }
    obj->previous = table->last;
    if (table->last != NULL)
        table->last->next = obj;
    else
        table->first = obj;
    table->last = obj;
    table->n++;
    return obj;
}

void row_free(Obj *obj)
{
    Table *table = obj->table;
    const Class *cls = table->cls;
    *(obj->previous != NULL ? &obj->previous->next : &table->first) = obj->next;
    *(obj->next != NULL ? &obj->next->previous : &table->last) = obj->previous;
    *(obj->later != NULL ? &obj->later->earlier : &table->latest) = obj->earlier;
    if (obj->earlier != NULL)
        obj->earlier->later = obj->later;
    table->n--;
    if (cls->uuid >= 0 && g_hash_table_lookup(table->by_uuid, obj_uuid(obj)) == obj)
        g_hash_table_remove(table->by_uuid, obj_uuid(obj));
    for (guint i = 0; i < cls->n_fields; i++)
        slot_clear(&cls->fields[i], obj->slots[i]);
    g_ref_string_release(obj->ref);
    g_free(obj);
}

static guint field_number(const Obj *obj, const char *name)
{
    gint i = class_field(obj->table->cls, name);
    if (i < 0)
        g_error("%s has no field %s", obj->table->cls->name, name);
    return (guint) i;
}

/* The slot of a field of this kind; anything else is a programming error. */
static Slot *slot_of(const Obj *obj, const char *name, SlotKind kind)
{
    guint i = field_number(obj, name);
    if (obj->table->cls->fields[i].kind != kind)
        g_error("%s.%s is of another kind", obj->table->cls->name, name);
    return (Slot *) &obj->slots[i];
}

static void stamp(Obj *obj)
{
    rows_stamp(obj->table->rows, obj);
}

/* --- Relations --- */

static void mirror(Obj *obj, const Field *field, const char *ref, bool add)
{
    Obj *many = rows_find(obj->table->rows, ref);
    if (many == NULL || many->table->cls != field->many)
        return;
    Vec **set = &many->slots[field->many_field].vec;
    if (add) {
        vec_add(set, obj->ref);
    } else {
        gint at = vec_find(*set, obj->ref, 1);
        if (at >= 0)
            vec_remove(set, (guint) at, 1);
    }
    stamp(many);
}

void row_leave_relations(Obj *obj)
{
    const Class *cls = obj->table->cls;
    for (guint i = 0; i < cls->n_fields; i++)
        if (cls->fields[i].many != NULL)
            mirror(obj, &cls->fields[i], obj->slots[i].text, false);
}

/* --- Reading --- */

const char *obj_str(const Obj *obj, const char *field)
{
    return slot_of(obj, field, SLOT_TEXT)->text;
}

gint64 obj_int(const Obj *obj, const char *field)
{
    return slot_of(obj, field, SLOT_INT)->i;
}

bool obj_bool(const Obj *obj, const char *field)
{
    return slot_of(obj, field, SLOT_BOOL)->b;
}

Obj *obj_follow(const Obj *obj, const char *field)
{
    return rows_find(obj->table->rows, obj_str(obj, field));
}

guint obj_set_size(const Obj *obj, const char *field)
{
    return vec_size(slot_of(obj, field, SLOT_SET)->vec);
}

const char *obj_set_nth(const Obj *obj, const char *field, guint i)
{
    return vec_nth(slot_of(obj, field, SLOT_SET)->vec, i);
}

bool obj_set_has(const Obj *obj, const char *field, const char *value)
{
    return vec_find(slot_of(obj, field, SLOT_SET)->vec, value, 1) >= 0;
}

Obj *obj_follow_nth(const Obj *obj, const char *field, guint i)
{
    return rows_find(obj->table->rows, obj_set_nth(obj, field, i));
}

const char *obj_map_get(const Obj *obj, const char *field, const char *key)
{
    const Vec *map = slot_of(obj, field, SLOT_MAP)->vec;
    gint at = vec_find(map, key, 2);
    return at < 0 ? NULL : vec_nth(map, (guint) at + 1);
}

guint obj_map_size(const Obj *obj, const char *field)
{
    return vec_size(slot_of(obj, field, SLOT_MAP)->vec) / 2;
}

void obj_map_nth(const Obj *obj, const char *field, guint i, const char **key, const char **value)
{
    const Vec *map = slot_of(obj, field, SLOT_MAP)->vec;
    *key = vec_nth(map, 2 * i);
    *value = vec_nth(map, 2 * i + 1);
}

/* --- Writing --- */

static void text_put(Obj *obj, guint i, const char *value)
{
    Slot *slot = &obj->slots[i];
    const Field *field = &obj->table->cls->fields[i];
    if (strcmp(slot->text, value) == 0)
        return;
    char *old = slot->text;
    slot->text = g_ref_string_new_intern(value);
    if (field->many != NULL) {
        if (!MUTANT(sim_relation_kept)) /* mutant: sim_model */
            mirror(obj, field, old, false);
        mirror(obj, field, value, true);
    }
    if ((gint) i == obj->table->cls->uuid) {
        g_hash_table_remove(obj->table->by_uuid, old);
        g_hash_table_insert(obj->table->by_uuid, slot->text, obj);
    }
    g_ref_string_release(old);
    stamp(obj);
}

void obj_put_str(Obj *obj, const char *field, const char *value)
{
    slot_of(obj, field, SLOT_TEXT);
    text_put(obj, field_number(obj, field), value);
}

void obj_put_ref(Obj *obj, const char *field, const Obj *target)
{
    obj_put_str(obj, field, target == NULL ? REF_NULL : target->ref);
}

void obj_put_int(Obj *obj, const char *field, gint64 value)
{
    Slot *slot = slot_of(obj, field, SLOT_INT);
    if (slot->i == value)
        return;
    slot->i = value;
    stamp(obj);
}

void obj_put_float(Obj *obj, const char *field, double value)
{
    Slot *slot = slot_of(obj, field, SLOT_FLOAT);
    if (slot->f >= value && slot->f <= value)
        return;
    slot->f = value;
    stamp(obj);
}

void obj_put_bool(Obj *obj, const char *field, bool value)
{
    Slot *slot = slot_of(obj, field, SLOT_BOOL);
    if (slot->b == value)
        return;
    slot->b = value;
    stamp(obj);
}

void obj_set_add(Obj *obj, const char *field, const char *value)
{
    Slot *slot = slot_of(obj, field, SLOT_SET);
    if (vec_find(slot->vec, value, 1) >= 0)
        return;
    vec_add(&slot->vec, value);
    stamp(obj);
}

/* An entry is the value, or the key and the value after it. */
static void drop_entry(Obj *obj, Slot *slot, const char *key, guint n_each)
{
    gint at = vec_find(slot->vec, key, n_each);
    if (at < 0)
        return;
    vec_remove(&slot->vec, (guint) at, n_each);
    stamp(obj);
}

void obj_set_remove(Obj *obj, const char *field, const char *value)
{
    drop_entry(obj, slot_of(obj, field, SLOT_SET), value, 1);
}

static void vec_put(Obj *obj, Slot *slot, Vec *fresh)
{
    if (vec_equal(slot->vec, fresh)) {
        vec_unref(fresh);
        return;
    }
    vec_unref(slot->vec);
    slot->vec = fresh;
    stamp(obj);
}

void obj_set_clear(Obj *obj, const char *field)
{
    vec_put(obj, slot_of(obj, field, SLOT_SET), NULL);
}

void obj_set_assign(Obj *obj, const char *field, const char *const *values, guint n)
{
    Slot *slot = slot_of(obj, field, SLOT_SET);
    Vec *fresh = NULL;
    bool same = vec_size(slot->vec) == n;
    for (guint i = 0; same && i < n; i++)
        same = strcmp(vec_nth(slot->vec, i), values[i]) == 0;
    if (same)
        return;
    for (guint i = 0; i < n; i++)
        vec_add(&fresh, values[i]);
    vec_put(obj, slot, fresh);
}

void obj_map_put(Obj *obj, const char *field, const char *key, const char *value)
{
    Slot *slot = slot_of(obj, field, SLOT_MAP);
    gint at = vec_find(slot->vec, key, 2);
    if (at >= 0 && strcmp(vec_nth(slot->vec, (guint) at + 1), value) == 0)
        return;
    if (at >= 0) {
        vec_replace(&slot->vec, (guint) at + 1, value);
    } else {
        vec_add(&slot->vec, key);
        vec_add(&slot->vec, value);
    }
    stamp(obj);
}

void obj_map_remove(Obj *obj, const char *field, const char *key)
{
    drop_entry(obj, slot_of(obj, field, SLOT_MAP), key, 2);
}

void obj_map_clear(Obj *obj, const char *field)
{
    vec_put(obj, slot_of(obj, field, SLOT_MAP), NULL);
}

void obj_copy_field(Obj *to, const Obj *from, const char *name)
{
    guint i = field_number(to, name);
    const Field *field = &to->table->cls->fields[i];
    g_assert(to->table->cls == from->table->cls);
    if (field->kind == SLOT_TEXT)
        text_put(to, i, from->slots[i].text);
    else if (field->kind >= SLOT_SET)
        vec_put(to, &to->slots[i], vec_ref(from->slots[i].vec));
    else if (to->slots[i].i != from->slots[i].i) {
        to->slots[i] = from->slots[i];
        stamp(to);
    }
}
