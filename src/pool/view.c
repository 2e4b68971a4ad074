/* The interpreter of the field tables, and the row functions that most fields need. */
#include "pool/view.h"

#include "base/json_write.h"
#include "base/mutant.h"
#include "pool/views/tables.h"
#include "xapi/xapi.h"

#include <math.h>
#include <string.h>

enum { MAX_VALUES = 128, OUT_BYTES = 4096 };

struct View {
    const Record *record;
    const ViewWorld *world;
    const char *type;
    GString *out;
    Value values[MAX_VALUES]; /* of the first fields of the record */
};

static const ViewType types[] = {
#define V(cls, type, type_of, table) { #cls, type, type_of, table },
#define N(cls)
#include "pool/views.def"
#undef V
#undef N
};

const ViewType *view_type_of_class(const char *cls)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(types); i++)
        if (strcmp(types[i].cls, cls) == 0)
            return &types[i];
    return NULL;
}

const char *view_type_of(const ViewType *type, const Record *record)
{
    return type->type_of ? type->type_of(record) : type->type;
}

/* --- ids --- */

/* Their uuids are the same in every pool. */
static bool is_default_template(const Record *record)
{
    return strcmp(record_class(record), "VM") == 0 &&
           (value_bool(record_value(record, "is_default_template")) ||
            value_is(value_member(record_value(record, "other_config"), "default_template"),
                     "true"));
}

/* Ids stand between quotes in JSON as they are. No real uuid needs this; who attaches a storage
 * says its uuid, and a pool believes him. */
static void make_plain(GString *id)
{
    for (gsize i = 0; i < id->len; i++)
        if ((guchar) id->str[i] < ' ' || id->str[i] == '"' || id->str[i] == '\\')
            id->str[i] = '_';
}

bool view_id(const Record *record, const char *pool_id, GString *id)
{
    char scratch[VALUE_SCRATCH];
    const char *uuid = value_text(record_value(record, "uuid"), scratch);
    g_string_truncate(id, 0);
    if (strcmp(record_class(record), "pool_patch") == 0)
        g_string_append(id, record_key(record));
    else if (*uuid && is_default_template(record))
        g_string_printf(id, "%s-%s", pool_id, uuid);
    else
        g_string_append(id, uuid);
    if (!MUTANT(view_id_as_it_is)) /* mutant: pool_inventory:test_ids_are_plain */
        make_plain(id);
    return id->len > 0;
}

bool view_write_id(View *view, GString *out, const Record *record)
{
    g_autoptr(GString) id = g_string_sized_new(80);
    if (!record || !view_id(record, view->world->pool_id, id))
        return false;
    json_write_string(out, id->str, id->len);
    return true;
}

/* --- other records --- */

static bool is_null_ref(const char *ref)
{
    return !*ref || strcmp(ref, "OpaqueRef:NULL") == 0;
}

static Record *find(View *view, Value value, bool follow)
{
    char scratch[VALUE_SCRATCH];
    const char *ref = value_text(value, scratch);
    if (is_null_ref(ref))
        return NULL;
    Record *found = view->world->find(ref, view->world->user);
    if (follow || !found)
        view->world->depend(ref, view->world->user);
    return found;
}

Record *view_follow(View *view, Value ref)
{
    return find(view, ref, true);
}

Record *view_peek(View *view, Value ref)
{
    return find(view, ref, false);
}

/* --- one field --- */

const Record *view_record(const View *view)
{
    return view->record;
}

const char *view_type(const View *view)
{
    return view->type;
}

const ViewWorld *view_world(const View *view)
{
    return view->world;
}

Value view_value(View *view, const char *source)
{
    const char *slash = strchr(source, '/');
    gsize n = slash ? (gsize) (slash - source) : strlen(source);
    Value value = record_value_at(view->record, view->values, MAX_VALUES, source, n);
    return slash ? value_member(value, slash + 1) : value;
}

GString *view_begin(View *view, const char *name)
{
    g_string_append(view->out, ",\"");
    g_string_append(view->out, name);
    g_string_append(view->out, "\":");
    return view->out;
}

void view_put_text(View *view, const char *name, const char *text)
{
    json_write_string(view_begin(view, name), text, strlen(text));
}

void view_put_bool(View *view, const char *name, bool value)
{
    g_string_append(view_begin(view, name), value ? "true" : "false");
}

void view_put_int(View *view, const char *name, gint64 value)
{
    json_write_int(view_begin(view, name), value);
}

void view_put_number(View *view, const char *name, double value)
{
    json_write_real(view_begin(view, name), value);
}

void view_put_value(View *view, const char *name, Value value)
{
    if (value.at)
        value_write(value, view_begin(view, name));
}

double view_seconds(Value date)
{
    char scratch[VALUE_SCRATCH];
    const char *text = value_text(date, scratch);
    if (strchr(text, 'T'))
        return (double) xapi_parse_date(text);
    double number = g_ascii_strtod(text, NULL);
    return isfinite(number) ? round(number) : 0;
}

void view_put_date(View *view, const char *name, Value date)
{
    double seconds = view_seconds(date);
    if (seconds > 0)
        view_put_number(view, name, seconds);
    else
        g_string_append(view_begin(view, name), "null");
}

void view_put_id(View *view, const char *name, const Record *record)
{
    g_autoptr(GString) id = g_string_new(NULL);
    if (record && view_id(record, view->world->pool_id, id))
        view_put_text(view, name, id->str);
}

void view_put_link(View *view, const char *name, Value ref)
{
    view_put_id(view, name, view_peek(view, ref));
}

/* --- row functions --- */

void view_copy(View *view, const ViewField *field)
{
    view_put_value(view, field->name, view_value(view, field->source));
}

void view_bool(View *view, const ViewField *field)
{
    view_put_bool(view, field->name, value_bool(view_value(view, field->source)));
}

void view_int(View *view, const ViewField *field)
{
    Value value = view_value(view, field->source);
    double number = value_number(value, NAN);
    if (isnan(number))
        return;
    if (number == floor(number))
        view_put_int(view, field->name, value_int(value, 0));
    else
        view_put_number(view, field->name, number);
}

void view_date(View *view, const ViewField *field)
{
    view_put_date(view, field->name, view_value(view, field->source));
}

void view_link(View *view, const ViewField *field)
{
    view_put_link(view, field->name, view_value(view, field->source));
}

void view_weak_link(View *view, const ViewField *field)
{
    char scratch[VALUE_SCRATCH];
    Value ref = view_value(view, field->source);
    if (view_peek(view, ref) &&
        !MUTANT(view_links_to_the_gone)) { /* mutant: pool_sim:test_followed_equals_fresh */
        g_autofree char *gone = g_strconcat("!", value_text(ref, scratch), NULL);
        view->world->depend(gone, view->world->user);
    }
    view_put_link(view, field->name, ref);
}

void view_links(View *view, const ViewField *field)
{
    GString *out = view_begin(view, field->name);
    ValueIter iter = value_iter(view_value(view, field->source));
    bool any = false;
    g_string_append_c(out, '[');
    while (value_next(&iter)) {
        Record *record = view_peek(view, iter.value);
        if (!record)
            continue;
        if (any)
            g_string_append_c(out, ',');
        any |= view_write_id(view, out, record);
    }
    g_string_append_c(out, ']');
}

/* --- the object --- */

static void write_common(View *view)
{
    const char *pool_id = view->world->pool_id;
    view_put_id(view, "id", view->record);
    if (strcmp(record_class(view->record), "pool_patch") == 0)
        view_put_text(view, "uuid", record_key(view->record));
    else
        view_put_value(view, "uuid", record_value(view->record, "uuid"));
    view_put_text(view, "$pool", pool_id);
    view_put_text(view, "$poolId", pool_id);
    view_put_text(view, "_xapiRef", record_key(view->record));
}

GBytes *view_write(Cells *cells, const ViewType *type, const Record *record, const ViewWorld *world)
{
    View view = {
        .record = record,
        .world = world,
        .type = view_type_of(type, record),
        .out = g_string_sized_new(OUT_BYTES),
    };
    record_values(record, view.values, MAX_VALUES);
    g_string_append(view.out, "{\"type\":");
    json_write_string(view.out, view.type, strlen(view.type));
    for (const ViewField *field = type->fields; field->name; field++)
        field->write(&view, field);
    write_common(&view);
    g_string_append_c(view.out, '}');
    gsize n = view.out->len;
    char *text = cell_new(cells, n + 1);
    memcpy(text, view.out->str, n + 1);
    g_string_free(view.out, TRUE);
    return g_bytes_new_with_free_func(text, n, cell_free, text);
}
