/* cadenzad describe: every method and every route of this server as JSON, for tools/reference,
 * which makes the pages of docs/reference and stops the build when a row lacks something. */
#include "cmd/describe.h"
#include "api/method.h"
#include "api/rest.h"

#include <stdio.h>

static void add(const Method *method, void *user)
{
    json_t *info = method_info(method);
    json_object_set_new(info, "long", json_boolean(method->long_running));
    json_object_set_new(user, method->name, info);
}

int cmd_describe(void)
{
    json_t *methods = json_object();
    method_each(add, methods);
    json_t *all = json_pack("{s:o, s:o}", "methods", methods, "rest", rest_describe());
    bool ok = json_dumpf(all, stdout, JSON_INDENT(1)) == 0 && fflush(stdout) == 0;
    json_decref(all);
    return ok ? 0 : 1;
}
