/* What VM records hold as XML (recommendations, the disks of a template) or JSON (XO's own data).
 */
#include "pool/views/vm.h"

#include "base/json_write.h"

#include <jansson.h>
#include <string.h>

static const char *attribute(const char **names, const char **values, const char *name)
{
    for (; *names; names++, values++)
        if (strcmp(*names, name) == 0)
            return *values;
    return "";
}

static void parse_xml(const char *text, const GMarkupParser *parser, gpointer user)
{
    GMarkupParseContext *context = g_markup_parse_context_new(parser, 0, user, NULL);
    g_markup_parse_context_parse(context, text, (gssize) strlen(text), NULL);
    g_markup_parse_context_free(context);
}

/* --- disks of a template --- */

typedef struct {
    GString *out;
    bool any;
} Disks;

static void put_attribute(GString *out, const char *name, const char *text)
{
    g_string_append_printf(out, ",\"%s\":", name);
    json_write_string(out, text, strlen(text));
}

static void disk_begin(GMarkupParseContext *context, const char *element, const char **names,
                       const char **values, gpointer user, GError **error)
{
    Disks *disks = user;
    if (strcmp(element, "disk") != 0)
        return;
    const char *device = attribute(names, values, "device");
    bool bootable = strcmp(attribute(names, values, "bootable"), "true") == 0;
    gint64 size = g_ascii_strtoll(attribute(names, values, "size"), NULL, 10);
    g_string_append(disks->out, disks->any ? ",{\"device\":" : "{\"device\":");
    json_write_string(disks->out, device, strlen(device));
    g_string_append_printf(disks->out, ",\"size\":%" G_GINT64_FORMAT ",\"bootable\":%s", size,
                           bootable ? "true" : "false");
    put_attribute(disks->out, "type", attribute(names, values, "type"));
    put_attribute(disks->out, "SR", attribute(names, values, "sr"));
    g_string_append_c(disks->out, '}');
    disks->any = true;
}

static void put_disks(View *view, GString *out)
{
    static const GMarkupParser parser = { .start_element = disk_begin };
    char scratch[VALUE_SCRATCH];
    Disks disks = { .out = out };
    g_string_append(out, "\"disks\":[");
    parse_xml(value_text(view_value(view, "other_config/disks"), scratch), &parser, &disks);
    g_string_append_c(out, ']');
}

static void put_install_methods(View *view, GString *out)
{
    char scratch[VALUE_SCRATCH];
    const char *text = value_text(view_value(view, "other_config/install-methods"), scratch);
    g_auto(GStrv) methods = g_strsplit(text, ",", -1);
    g_string_append(out, ",\"install_methods\":[");
    for (guint i = 0; methods[i]; i++) {
        if (i)
            g_string_append_c(out, ',');
        json_write_string(out, methods[i], strlen(methods[i]));
    }
    g_string_append_c(out, ']');
}

void vm_template_info(View *view, const ViewField *field)
{
    char arch_scratch[VALUE_SCRATCH], scratch[VALUE_SCRATCH];
    if (strcmp(view_type(view), "VM-template") != 0)
        return;
    const char *arch = value_text(view_value(view, "other_config/install-arch"), arch_scratch);
    const char *place = value_text(view_value(view, "other_config/install-repository"), scratch);
    GString *out = view_begin(view, field->name);
    g_string_append_c(out, '{');
    put_disks(view, out);
    put_install_methods(view, out);
    if (*arch)
        put_attribute(out, "arch", arch);
    if (*place && strcmp(place, "cdrom") != 0)
        put_attribute(out, "install_repository", place);
    g_string_append_c(out, '}');
}

/* --- recommendations: <restriction field="supports-uefi" value="no"/> --- */

typedef struct {
    const char *field;
    bool refused;
} Restriction;

static void restriction_begin(GMarkupParseContext *context, const char *element, const char **names,
                              const char **values, gpointer user, GError **error)
{
    Restriction *restriction = user;
    if (strcmp(attribute(names, values, "field"), restriction->field) == 0 &&
        strcmp(attribute(names, values, "value"), "no") == 0)
        restriction->refused = true;
}

void vm_firmware_supported(View *view, const ViewField *field)
{
    static const GMarkupParser parser = { .start_element = restriction_begin };
    char scratch[VALUE_SCRATCH], text_scratch[VALUE_SCRATCH];
    const char *firmware = value_text(view_value(view, "HVM_boot_params/firmware"), scratch);
    g_autofree char *name = g_strconcat("supports-", *firmware ? firmware : "bios", NULL);
    const char *text = value_text(view_value(view, field->source), text_scratch);
    Restriction restriction = { .field = name };
    if (strstr(text, name))
        parse_xml(text, &parser, &restriction);
    view_put_bool(view, field->name, !restriction.refused);
}

/* --- XO's data --- */

static void put_json(View *view, const char *name, json_t *value)
{
    char *text = value ? json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
    if (text)
        g_string_append(view_begin(view, name), text);
    free(text);
}

/* Kept under a key with the start of the VM's own uuid, so that copies do not inherit it. */
void vm_creation(View *view, const ViewField *field)
{
    char uuid[VALUE_SCRATCH], scratch[VALUE_SCRATCH];
    g_autofree char *key =
        g_strdup_printf("other_config/xo:%.8s", value_text(view_value(view, "uuid"), uuid));
    const char *text = value_text(view_value(view, key), scratch);
    json_t *data = *text ? json_loads(text, 0, NULL) : NULL;
    put_json(view, field->name, json_object_get(data, "creation"));
    json_decref(data);
}

void vm_resource_set(View *view, const ViewField *field)
{
    char scratch[VALUE_SCRATCH];
    const char *text = value_text(view_value(view, field->source), scratch);
    json_t *data = *text ? json_loads(text, JSON_DECODE_ANY, NULL) : NULL;
    if (json_is_string(data))
        put_json(view, field->name, data);
    json_decref(data);
}
