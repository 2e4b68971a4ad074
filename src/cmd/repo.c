/* `cadenza repo …`: looks into a repository with no server. The table of its verbs; each is in its
 * own file, repo_<verb>.c. */
#include "cmd/repo.h"

#include "base/error.h"
#include "base/log.h"
#include "catalog/layout.h"
#include "cmd/aside.h"
#include "cmd/output.h"
#include "cmd/repo_verb.h"

#include <glib.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define STALL_S     300 /* as the server's stallTimeout */
#define MAX_STALL_S 86400

static const struct repo_verb *const verbs[] = { &repo_list, &repo_digest, &repo_verify,
                                                 &repo_repair, &repo_extract };

static int find_option(const struct repo_verb *verb, const char *name)
{
    for (int i = 0; i < REPO_MAX_OPTIONS && verb->options[i].name; i++)
        if (strcmp(verb->options[i].name, name) == 0)
            return i;
    return -1;
}

const char *repo_option(const Repo *repo, const char *name)
{
    int i = find_option(repo->verb, name);
    g_assert(i >= 0);
    return repo->values[i];
}

/* Takes argv[i] and its value; the index of the last word taken, or -1. */
static int take_option(Repo *repo, int argc, char **argv, int i)
{
    int option = find_option(repo->verb, argv[i]);
    if (option < 0)
        return -1;
    bool has_value = repo->verb->options[option].value;
    if (has_value && i + 1 == argc)
        return -1;
    repo->values[option] = has_value ? argv[i + 1] : "";
    return i + has_value;
}

static bool take_patience(Repo *repo, const char *text)
{
    char *end = NULL;
    double seconds = text ? g_ascii_strtod(text, &end) : 0;
    if (!(seconds >= 0.001 && seconds <= MAX_STALL_S) || *end)
        return false;
    repo->patience_ms = (unsigned) (seconds * 1000);
    return true;
}

static bool take_words(Repo *repo, int argc, char **argv)
{
    for (int i = 2; i < argc; i++) {
        if (strcmp(argv[i], "--json") == 0)
            repo->json = true;
        else if (strcmp(argv[i], "--stall-timeout") == 0) {
            if (!take_patience(repo, argv[++i])) /* NULL after the last word */
                return false;
        } else if (g_str_has_prefix(argv[i], "--")) {
            i = take_option(repo, argc, argv, i);
            if (i < 0)
                return false;
        } else if (repo->n_words == repo->verb->max_words)
            return false;
        else
            repo->words[repo->n_words++] = argv[i];
    }
    return repo->n_words >= repo->verb->min_words;
}

/* The repository hangs: what else would be said of it were guesses. A thread may still be in it, so
 * nothing is closed. */
static void give_up(void *user, const GError *error)
{
    Repo *repo = user;
    bool has_name = repo->remote == NULL;
    fflush(stdout);
    repo_fail(has_name ? g_error_copy(error)
                       : g_error_new(error->domain, error->code, "%s: %s",
                                     remote_name(repo->remote), error->message));
    aside_leave(REPO_UNREADABLE);
    output_drop_unfinished();
    _exit(REPO_UNREADABLE);
}

static Remote *open_folder(Repo *repo, GError **error)
{
    const char *folder = repo->words[0];
    Remote *remote = repo->verb->writes ? remote_open_own_folder(folder, repo->patience_ms, error)
                                        : remote_open_folder(folder, repo->patience_ms, error);
    if (remote)
        remote_on_giving_up(remote, give_up, repo);
    else if (err_is(*error, ERR_TIMEOUT))
        give_up(repo, *error);
    return remote;
}

/* An empty folder is what is left of a storage that is not mounted: nothing was looked at then, and
 * nothing is said to be sound. */
static bool holds_backups(Repo *repo, GError **error)
{
    static const char *const folders[] = { LAYOUT_VMS, LAYOUT_OURS, "xo-config-backups",
                                           "xo-pool-metadata-backups" };
    for (unsigned i = 0; i < G_N_ELEMENTS(folders); i++) {
        g_autoptr(GError) failure = NULL;
        RemoteStat st;
        if (remote_stat(repo->remote, folders[i], &st, &failure) || !err_is(failure, ERR_NOT_FOUND))
            return true;
    }
    err_set(error, ERR_NOT_FOUND, "%s: there are no backups here, no folder " LAYOUT_VMS,
            remote_name(repo->remote));
    return false;
}

static int run(void *user)
{
    Repo *repo = user;
    g_autoptr(GError) error = NULL;
    g_autoptr(Remote) remote = repo->remote = open_folder(repo, &error);
    g_autoptr(Catalog) catalog = repo->catalog = remote ? catalog_open(remote, &error) : NULL;
    return catalog && holds_backups(repo, &error) ? repo->verb->run(repo)
                                                  : repo_fail_to_open(g_steal_pointer(&error));
}

static void print_usage(const struct repo_verb *verb, FILE *to)
{
    fprintf(to, "  cadenza repo %s [--json] [--stall-timeout SECONDS]", verb->name);
    for (int i = 0; i < REPO_MAX_OPTIONS && verb->options[i].name; i++) {
        const char *value = verb->options[i].value;
        fprintf(to, " [%s%s%s]", verb->options[i].name, value ? " " : "", value ? value : "");
    }
    fprintf(to, " %s\n      %s\n", verb->words, verb->summary);
}

static void print_help(FILE *to)
{
    fputs("usage:\n", to);
    for (unsigned i = 0; i < G_N_ELEMENTS(verbs); i++)
        print_usage(verbs[i], to);
    fputs("POINT is <vm uuid>/<date>, or its path as listed; DISK is a path as listed.\n"
          "A repository that does not answer for the stall timeout (300 s) is given up.\n"
          "Exit status: 0 all is sound, 1 something is damaged, 2 wrong usage, 3 something could\n"
          "not be read, or was given up, 4 nothing is lost, but `repair` has something to make\n"
          "right.\n",
          to);
}

int cmd_repo(int argc, char **argv)
{
    Repo repo = { .patience_ms = STALL_S * 1000 };
    log_set_level(LOG_LEVEL_ERROR);
    for (unsigned i = 0; argc > 1 && i < G_N_ELEMENTS(verbs); i++)
        if (strcmp(verbs[i]->name, argv[1]) == 0)
            repo.verb = verbs[i];
    if (repo.verb && take_words(&repo, argc, argv))
        return aside_run(run, &repo);
    bool asked = argc > 1 && strcmp(argv[1], "--help") == 0;
    print_help(asked ? stdout : stderr);
    return asked ? REPO_SOUND : REPO_USAGE;
}
