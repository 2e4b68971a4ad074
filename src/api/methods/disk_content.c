/* disk.exportContent, disk.importContent, disk.import: disks as image files. */
#include "api/methods/content.h"

#include <string.h>

#define FORMATS_IN "vhd|vmdk|qcow2|iso|raw"

/* --- Out --- */

static void set_length(gint64 n_bytes, void *user)
{
    ((Delivery *) user)->n_bytes = n_bytes;
}

static void give(HttpRequest *request, void *user)
{
    const Content *content = user;
    g_autoptr(GError) error = NULL;
    Delivery delivery = { request, content->name, content->format, -1, false };
    DiskOut out = { .xapi = content_xapi(content),
                    .vdi = content->ref,
                    .format = content->format,
                    .size_bytes = content->size_bytes,
                    .length = set_length,
                    .sink = delivery_write,
                    .user = &delivery };
    bool ok = disk_give(&out, &error);
    content_end(content, &delivery, ok, error);
}

static json_t *export_content(ApiCall *call, GError **error)
{
    const ApiObject *vdi = call_object(call, "id");
    Content *content = content_new(call, vdi, call_string(call, "format"));
    g_autofree char *name = g_strdup_printf("%s.%s", content->name, content->format);
    return downloads_stream(call_parts(call)->downloads, name, give, content, content_free, error);
}

/* --- In --- */

static void take_content(HttpRequest *request, void *user)
{
    const Content *content = user;
    g_autoptr(GError) error = NULL;
    g_auto(ContentBody) body = { NULL };
    if (content_body_begin(&body, request, &error)) {
        DiskIn in = { content->format, body.source, body.user, body.n_bytes, NULL };
        disk_fill(content_xapi(content), content->ref, &in, &error);
    }
    content_barrier(content);
    content_answer(content, request, json_true(), error);
}

static json_t *import_content(ApiCall *call, GError **error)
{
    Content *content = content_new(call, call_object(call, "id"), call_string(call, "format"));
    return downloads_expect(call_parts(call)->downloads, take_content, content, content_free,
                            error);
}

/* The new disk's id, or NULL. */
static json_t *take_in(const Content *content, HttpSource source, void *user, gint64 n_bytes,
                       GError **error)
{
    Xapi *xapi = content_xapi(content);
    DiskIn in = { content->format, source, user,
                  content->url ? content_url_bytes(content->url) : n_bytes,
                  store_folder(content->parts->store) };
    g_autofree char *vdi =
        disk_take(xapi, content->ref, content->new_name, content->description, &in, error);
    g_autofree char *uuid =
        vdi ? xapi_call_string(xapi, "VDI.get_uuid", json_pack("[s]", vdi), error) : NULL;
    content_barrier(content);
    return uuid ? json_string(uuid) : NULL;
}

static json_t *import(ApiCall *call, GError **error)
{
    Content *content = content_new(call, call_object(call, "sr"), call_string(call, "type"));
    content->new_name = g_strdup(call_string(call, "name"));
    content->description = g_strdup(call_string(call, "description"));
    return content_take(call, content, call_string(call, "url"), take_in, error);
}

const Method methods_disk_content[] = {
    { "disk.exportContent", export_content,
      PARAMS(REQ(ID("id", "VDI,VDI-snapshot", "view")),
             DEF("\"vhd\"", STR("format"), .choices = "vhd|vmdk|qcow2|raw"), OPT(BOOL("preferNbd")),
             OPT(NUM("nbdConcurrency"))),
      .access = ACCESS_USER, .example = "id=$DISK format=qcow2 @=disk.qcow2",
      .summary = "Give the content of a disk out as an image file." },
    { "disk.importContent", import_content,
      PARAMS(REQ(ID("id", "VDI", "operate")), DEF("\"vhd\"", STR("format"), .choices = "vhd|raw")),
      .access = ACCESS_USER, .example = "id=$SPARE_DISK @=disk.vhd",
      .summary = "Replace the content of a disk by that of an image file." },
    { "disk.import", import,
      PARAMS(OPT(STR0("description")), REQ(STR("name")), REQ(ID("sr", "SR", "administrate")),
             REQ(STR("type"), .choices = FORMATS_IN),
             OPT(STR("url"), .words = "fetch it from there"),
             OPT(OBJ("vmdkData"), .words = "is not needed, and not looked at")),
      .access = ACCESS_USER, .long_running = true,
      .example = "sr=$SR name='a disk' type=vhd @=disk.vhd",
      .summary = "Make a disk of an image file." },
    { NULL },
};
