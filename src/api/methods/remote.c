/* remote.*: backup repositories. All work on them is done by their worker processes. */
#include "api/method.h"

static Remotes *remotes(ApiCall *call)
{
    return call_parts(call)->remotes;
}

static json_t *get_all(ApiCall *call, GError **error)
{
    return remotes_list(remotes(call), error);
}

static json_t *get(ApiCall *call, GError **error)
{
    return remotes_show(remotes(call), call_string(call, "id"), error);
}

static json_t *create(ApiCall *call, GError **error)
{
    return remotes_create(remotes(call), call_params(call), error);
}

static json_t *set(ApiCall *call, GError **error)
{
    remotes_set(remotes(call), call_string(call, "id"), call_params(call), error);
    return NULL;
}

static json_t *drop(ApiCall *call, GError **error)
{
    remotes_delete(remotes(call), call_string(call, "id"), error);
    return NULL;
}

/* What a test found is kept in the record. */
static void keep_outcome(ApiCall *call, const char *id, json_t *outcome)
{
    bool ok = json_is_true(json_object_get(outcome, "success"));
    json_t *failure = json_object_get(outcome, "error");
    const char *text =
        json_string_value(json_is_object(failure) ? json_object_get(failure, "message") : failure);
    if (ok)
        remotes_add_benchmark(remotes(call), id,
                              json_number_value(json_object_get(outcome, "readRate")),
                              json_number_value(json_object_get(outcome, "writeRate")), NULL);
    remotes_set_error(remotes(call), id, ok ? NULL : text);
}

static json_t *test(ApiCall *call, GError **error)
{
    const char *id = call_string(call, "id");
    json_t *record = remotes_get(remotes(call), id, error);
    json_t *outcome = record ? repositories_test(call_parts(call)->repositories, record, error)
                             : NULL;
    if (outcome)
        keep_outcome(call, id, outcome);
    json_decref(record);
    return outcome;
}

static json_t *info_of(ApiCall *call, json_t *record)
{
    g_autoptr(GError) failure = NULL;
    json_t *info = repositories_space(call_parts(call)->repositories, record, &failure);
    const char *id = json_string_value(json_object_get(record, "id"));
    remotes_set_error(remotes(call), id, info ? NULL : failure->message);
    if (info)
        json_object_set_new(info, "encryption",
                            json_pack("{s:s, s:b, s:s}", "algorithm", "none", "isLegacy", 0,
                                      "recommendedAlgorithm", "chacha20-poly1305"));
    return info;
}

static json_t *get_all_info(ApiCall *call, GError **error)
{
    json_t *list = remotes_list(remotes(call), error);
    json_t *infos = list ? json_object() : NULL;
    size_t i;
    json_t *shown;
    json_array_foreach (list, i, shown) {
        const char *id = json_string_value(json_object_get(shown, "id"));
        bool enabled = json_is_true(json_object_get(shown, "enabled"));
        json_t *record = enabled ? remotes_get(remotes(call), id, NULL) : NULL;
        json_t *info = record ? info_of(call, record) : NULL;
        if (info)
            json_object_set_new(infos, id, info);
        json_decref(record);
    }
    json_decref(list);
    return infos;
}

const Method methods_remote[] = {
    { "remote.getAll", get_all, NULL, .example = "", .summary = "All backup repositories." },
    { "remote.get", get, PARAMS(REQ(STR("id"))), .example = "id=$REPOSITORY",
      .summary = "One backup repository." },
    { "remote.create", create,
      PARAMS(REQ(STR("name")), OPT(STR("options")), OPT(STR("proxy")), REQ(STR("url"))),
      .example = "name=local url=file://$FOLDER",
      .summary = "Add a backup repository by its URL, such as file:///backups." },
    { "remote.set", set,
      PARAMS(OPT(BOOL("enabled")), REQ(STR("id")), OPT(STR("name")),
             OPT(TYPED("options", P_STRING | P_NULL)), OPT(TYPED("proxy", P_STRING | P_NULL)),
             OPT(STR("url"))),
      .example = "id=$REPOSITORY name='of this machine'",
      .summary = "Change a backup repository." },
    { "remote.delete", drop, PARAMS(REQ(STR("id"))), .example = "id=$SPARE_REPOSITORY",
      .summary = "Forget a backup repository; its backups stay where they are." },
    { "remote.test", test, PARAMS(REQ(STR("id"))), .long_running = true,
      .example = "id=$REPOSITORY", .summary = "Write and read back 10 MiB, and measure." },
    { "remote.getAllInfo", get_all_info, NULL, .long_running = true, .example = "",
      .summary = "Sizes of all backup repositories." },
    { NULL },
};
