/* `cadenza repo …`: looks into a repository with no server. The table of its verbs; each is in its
 * own file, repo_<verb>.c. */
#include "cmd/repo.h"

#include "base/log.h"
#include "cmd/repo_verb.h"

#include <glib.h>
#include <stdio.h>
#include <string.h>

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

static bool take_words(Repo *repo, int argc, char **argv)
{
    for (int i = 2; i < argc; i++) {
        if (strcmp(argv[i], "--json") == 0)
            repo->json = true;
        else if (g_str_has_prefix(argv[i], "--")) {
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

static int run(Repo *repo)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Remote) remote = repo->remote = repo->verb->writes
                                                  ? remote_open_own_folder(repo->words[0], &error)
                                                  : remote_open_folder(repo->words[0], &error);
    g_autoptr(Catalog) catalog = repo->catalog = remote ? catalog_open(remote, &error) : NULL;
    return catalog ? repo->verb->run(repo) : repo_fail(g_steal_pointer(&error));
}

static void print_usage(const struct repo_verb *verb, FILE *to)
{
    fprintf(to, "  cadenza repo %s [--json]", verb->name);
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
          "Exit status: 0 all is sound, 1 something is damaged, 2 wrong usage, 3 something could\n"
          "not be read, 4 nothing is lost, but `repair` has something to make right.\n",
          to);
}

int cmd_repo(int argc, char **argv)
{
    Repo repo = { 0 };
    log_set_level(LOG_LEVEL_ERROR);
    for (unsigned i = 0; argc > 1 && i < G_N_ELEMENTS(verbs); i++)
        if (strcmp(verbs[i]->name, argv[1]) == 0)
            repo.verb = verbs[i];
    if (repo.verb && take_words(&repo, argc, argv))
        return run(&repo);
    bool asked = argc > 1 && strcmp(argv[1], "--help") == 0;
    print_help(asked ? stdout : stderr);
    return asked ? REPO_SOUND : REPO_USAGE;
}
