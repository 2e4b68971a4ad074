#include "fake_worker.h"

#include "base/error.h"
#include "base/tasklog.h"
#include "run/protocol.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *text(json_t *object, const char *name)
{
    const char *value = json_string_value(json_object_get(object, name));
    return value ? value : "";
}

static void tell(json_t *event, void *channel)
{
    channel_send(channel, json_pack("{s:s, s:O}", "type", "event", "event", event), NULL);
}

static void do_vms(json_t *start, TaskLog *log, const char *fails)
{
    gsize i;
    json_t *vm;
    json_array_foreach (json_object_get(start, "vms"), i, vm) {
        const char *id = text(vm, "id");
        g_autoptr(GError) error = NULL;
        Task *task = task_begin(tasklog_root(log), "backup VM",
                                json_pack("{s:s, s:s}", "type", "VM", "id", id));
        err_set(&error, ERR_IO, "disk of %s", id);
        if (strcmp(id, fails) == 0)
            task_fail(task, error);
        else
            task_end(task, NULL);
    }
}

/* Until the server says so. */
static void wait_for(Channel *channel, const char *type, json_t **message)
{
    for (json_t *each; (each = channel_receive(channel, 20000, NULL));) {
        bool found = strcmp(text(each, "type"), type) == 0;
        if (strcmp(text(each, "type"), "suspend") == 0)
            _exit(3);
        if (found && message)
            *message = json_incref(each);
        json_decref(each);
        if (found)
            return;
    }
    _exit(4);
}

static json_t *do_lease(Channel *channel, json_t *start, const char *name)
{
    const char *vm = text(json_array_get(json_object_get(start, "vms"), 0), "id");
    bool wait = strcmp(text(json_object_get(start, "settings"), "onBusyVm"), "fail") != 0;
    json_t *answer = NULL;
    channel_send(channel,
                 json_pack("{s:s, s:i, s:s, s:b}", "type", "ask", "id", 1, "vm", vm, "wait", wait),
                 NULL);
    wait_for(channel, "answer", &answer);
    json_t *error = json_incref(json_object_get(answer, "error"));
    json_decref(answer);
    if (!error && strcmp(name, "lease and hold") == 0)
        wait_for(channel, "cancel", NULL);
    channel_send(channel, json_pack("{s:s, s:s}", "type", "release", "vm", vm), NULL);
    return error;
}

static json_t *cancelled(void)
{
    g_autoptr(GError) error = NULL;
    err_set(&error, ERR_CANCELLED, "the run was cancelled");
    return protocol_error(error);
}

/* The first three of these die, too. */
static void do_recover(const char *journal)
{
    g_autofree char *deaths = g_strconcat(journal, ".deaths", NULL);
    struct stat info;
    if (stat(deaths, &info) != 0 || info.st_size < 3) {
        int fd = open(deaths, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        _exit(write(fd, "x", 1) == 1 ? 7 : 8);
    }
    unlink(deaths);
    unlink(journal);
}

static json_t *behave(Channel *channel, json_t *start, TaskLog *log)
{
    const char *name = text(json_object_get(start, "job"), "name");
    if (strcmp(text(start, "kind"), "recover") == 0) {
        do_recover(text(start, "journal"));
        return NULL;
    }
    bool again = access(text(start, "journal"), F_OK) == 0; /* a worker before this one left it */
    close(open(text(start, "journal"), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    if (strcmp(name, "crash") == 0 || (strcmp(name, "crash once") == 0 && !again)) {
        json_t *first = json_array_get(json_object_get(start, "vms"), 0);
        task_begin(tasklog_root(log), "backup VM",
                   json_pack("{s:s, s:O}", "type", "VM", "id", json_object_get(first, "id")));
        _exit(7);
    }
    if (g_str_has_prefix(name, "lease"))
        return do_lease(channel, start, name);
    if (strcmp(name, "hold") == 0) {
        wait_for(channel, "cancel", NULL);
        unlink(text(start, "journal"));
        return cancelled();
    }
    do_vms(start, log, strcmp(name, "one fails") == 0 ? "vm-2" : "");
    unlink(text(start, "journal"));
    return NULL;
}

int fake_worker(void)
{
    g_autoptr(Channel) channel = channel_new(PROTOCOL_FD);
    json_t *start = channel_receive(channel, 10000, NULL);
    g_autoptr(TaskLog) log = tasklog_new(text(start, "runId"), "", NULL, 1, tell, channel);
    bool restores = strcmp(text(start, "kind"), "restore") == 0;
    json_t *error = behave(channel, start, log);
    json_t *result = restores ? json_pack("{s:s, s:i}", "id", "new-vm", "size", 5) : NULL;
    channel_send(channel,
                 json_pack("{s:s, s:i, s:o*, s:o*}", "type", "done", "left", 0, "error", error,
                           "result", result),
                 NULL);
    json_decref(start);
    return 0;
}

int fake_repository_worker(void)
{
    g_autoptr(Channel) channel = channel_new(PROTOCOL_FD);
    for (json_t *request; (request = channel_receive(channel, -1, NULL));) {
        json_t *remote = json_object_get(request, "remote");
        if (strcmp(text(remote, "name"), "dead") == 0)
            sleep(60);
        if (strcmp(text(remote, "name"), "crash") == 0)
            _exit(5);
        g_autoptr(GError) error = NULL;
        err_set(&error, ERR_NO_SPACE, "remote full");
        bool fails = strcmp(text(remote, "name"), "full") == 0 ||
                     strcmp(text(remote, "name"), "stuck") == 0;
        json_t *answer = fails ? json_pack("{s:o}", "error", protocol_error(error))
                               : json_pack("{s:{s:O, s:i}}", "result", "request", request, "pid",
                                           (int) getpid());
        bool stuck = strcmp(text(remote, "name"), "stuck") == 0;
        json_object_set_new(answer, "stuck", json_boolean(stuck));
        channel_send(channel, answer, NULL);
        if (stuck)
            sleep(60);
        json_decref(request);
    }
    return 0;
}
