/* Other dialects of cron in XO's words. Only the spelling is changed here; whether the numbers are
 * in their bounds is for cron_parse to say. */
#include "base/cron.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_TEXT_BYTES = 1024, N_FIELDS = 5 };

/* Bounds of the fields, and the names of min, min + 1, … */
static const struct {
    int min, max;
    const char *const *names;
} fields[N_FIELDS] = {
    { 0, 59, NULL },
    { 0, 23, NULL },
    { 1, 31, NULL },
    { 0, 11,
      (const char *const[]){ "january", "february", "march", "april", "may", "june", "july",
                             "august", "september", "october", "november", "december", NULL } },
    { 0, 6,
      (const char *const[]){ "sunday", "monday", "tuesday", "wednesday", "thursday", "friday",
                             "saturday", NULL } },
};

/* The number of a name that may be cut after three letters, -1: no name of this field. XO's own
 * word for Wednesday is "wen". */
static int number_of_name(const char *word, int field)
{
    const char *const *names = fields[field].names;
    for (int i = 0; names && names[i] && strlen(word) >= 3; i++)
        if (g_str_has_prefix(names[i], word) || (field == 4 && i == 3 && g_str_equal(word, "wen")))
            return fields[field].min + i;
    return -1;
}

/* "wednesday" → "wen"; a copy, NULL when the word is no name of this field. */
static char *short_name(const char *word, int field)
{
    int number = number_of_name(word, field);
    if (number < 0)
        return NULL;
    return field == 4 && number == 3
               ? g_strdup("wen")
               : g_strndup(fields[field].names[number - fields[field].min], 3);
}

static char *value(const char *word, int field)
{
    if (*word && strspn(word, "0123456789") == strlen(word) && strlen(word) <= 4)
        return g_strdup(word);
    return short_name(word, field);
}

static int number_of(const char *word, int field)
{
    int number = number_of_name(word, field);
    return number >= 0 ? number : atoi(word);
}

/* "fri-mon" goes over the end: "fri-6,0-mon". */
static char *range(const char *first, const char *last, const char *step, int field)
{
    int min = fields[field].min, max = fields[field].max;
    g_autofree char *suffix = step ? g_strdup_printf("/%s", step) : g_strdup("");
    if (number_of(first, field) <= number_of(last, field))
        return g_strdup_printf("%s-%s%s", first, last, suffix);
    if (field == 4 && number_of(last, field) == 0)
        return g_strdup_printf("%s-7%s", first, suffix);
    if (step)
        return NULL;
    return g_strdup_printf("%s-%d,%d-%s", first, max, min, last);
}

/* One of "*", "?", a, a-b, each maybe with /n. */
static char *item(const char *text, int field)
{
    g_auto(GStrv) step = g_strsplit(text, "/", -1);
    unsigned n = g_strv_length(step);
    if (n < 1 || n > 2 ||
        (n == 2 && (!*step[1] || strspn(step[1], "0123456789") < strlen(step[1]))))
        return NULL;
    if (g_str_equal(step[0], "*") || g_str_equal(step[0], "?"))
        return n == 2 ? g_strdup_printf("*/%s", step[1]) : g_strdup("*");
    g_auto(GStrv) ends = g_strsplit(step[0], "-", -1);
    unsigned n_ends = g_strv_length(ends);
    g_autofree char *first = n_ends >= 1 ? value(ends[0], field) : NULL;
    g_autofree char *last = n_ends == 2 ? value(ends[1], field)
                            : n == 2    ? g_strdup_printf("%d", fields[field].max)
                                        : NULL;
    if (!first || n_ends > 2 || (n_ends == 2 && !last))
        return NULL;
    return last ? range(first, last, step[1], field) : g_strdup(first);
}

static char *list(const char *text, int field)
{
    g_auto(GStrv) items = g_strsplit(text, ",", -1);
    g_autoptr(GString) all = g_string_new(NULL);
    for (unsigned i = 0; items[i]; i++) {
        g_autofree char *one = item(items[i], field);
        if (!one)
            return NULL;
        g_string_append_printf(all, "%s%s", i ? "," : "", one);
    }
    return all->len ? g_strdup(all->str) : NULL;
}

/* The words between spaces, without the seconds when these are 0; NULL: not five. */
static GStrv split(const char *text)
{
    g_auto(GStrv) words = g_strsplit_set(text, " \t", -1);
    g_autoptr(GStrvBuilder) kept = g_strv_builder_new();
    unsigned n = 0, n_seen = 0;
    for (unsigned i = 0; words[i]; i++)
        n += *words[i] != 0;
    if (n != N_FIELDS && n != N_FIELDS + 1)
        return NULL;
    for (unsigned i = 0; words[i]; i++) {
        bool seconds = n == N_FIELDS + 1 && n_seen == 0;
        if (!*words[i])
            continue;
        n_seen++;
        if (!seconds)
            g_strv_builder_add(kept, words[i]);
        else if (!g_str_equal(words[i], "0") && !g_str_equal(words[i], "00"))
            return NULL;
    }
    return g_strv_builder_end(kept);
}

char *cron_translate(const char *text)
{
    if (strlen(text) > MAX_TEXT_BYTES)
        return NULL;
    g_autofree char *lower = g_strstrip(g_ascii_strdown(text, -1));
    if (lower[0] == '@')
        return g_strdup(g_str_equal(lower, "@midnight") ? "@daily" : lower);
    g_auto(GStrv) words = split(lower);
    g_autoptr(GString) all = g_string_new(NULL);
    for (int i = 0; words && i < N_FIELDS; i++) {
        g_autofree char *field = list(words[i], i);
        if (!field)
            return NULL;
        g_string_append_printf(all, "%s%s", i ? " " : "", field);
    }
    return words ? g_strdup(all->str) : NULL;
}
