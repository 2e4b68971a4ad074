/* Strings are crossed by memchr, brackets are counted; numbers and words end at a comma or bracket.
 */
#include "base/json_pick.h"

#include "base/mutant.h"

#include <string.h>

typedef struct {
    const char *at, *end;
} Cursor;

static void skip_blanks(Cursor *cursor)
{
    while (cursor->at < cursor->end && strchr(" \t\r\n", *cursor->at) && *cursor->at)
        cursor->at++;
}

/* From the opening quote to after the closing one. */
static bool skip_string(Cursor *cursor)
{
    const char *quote = cursor->at;
    while ((quote = memchr(quote + 1, '"', (size_t) (cursor->end - quote - 1)))) {
        const char *before = quote;
        while (before[-1] == '\\')
            before--;
        if ((quote - before) % 2 == 0)
            break;
    }
    if (!quote)
        return false;
    cursor->at = quote + 1;
    return true;
}

/* From the opening bracket to after the closing one. */
static bool skip_brackets(Cursor *cursor)
{
    unsigned depth = 0;
    while (cursor->at < cursor->end) {
        char c = *cursor->at;
        if (c == '"') {
            if (!skip_string(cursor))
                return false;
            continue;
        }
        cursor->at++;
        if (c == '{' || c == '[')
            depth++;
        else if ((c == '}' || c == ']') && --depth == 0)
            return true;
    }
    return false;
}

static bool skip_value(Cursor *cursor)
{
    if (cursor->at >= cursor->end)
        return false;
    if (*cursor->at == '"')
        return skip_string(cursor);
    if (*cursor->at == '{' || *cursor->at == '[')
        return skip_brackets(cursor);
    const char *start = cursor->at;
    while (cursor->at < cursor->end && !strchr(",}] \t\r\n", *cursor->at))
        cursor->at++;
    return cursor->at > start;
}

static JsonPick *wanted(JsonPick *picks, unsigned n_picks, const char *name, size_t n)
{
    for (unsigned i = 0; i < n_picks; i++)
        if (!picks[i].value && strlen(picks[i].name) == n && memcmp(picks[i].name, name, n) == 0)
            return &picks[i];
    return NULL;
}

/* "name": value; *n_found counts. */
static bool take_member(Cursor *cursor, JsonPick *picks, unsigned n_picks, unsigned *n_found)
{
    const char *name = cursor->at + 1;
    if (cursor->at >= cursor->end || *cursor->at != '"' || !skip_string(cursor))
        return false;
    JsonPick *pick = wanted(picks, n_picks, name, (size_t) (cursor->at - 1 - name));
    skip_blanks(cursor);
    if (cursor->at >= cursor->end || *cursor->at != ':')
        return false;
    cursor->at++;
    skip_blanks(cursor);
    const char *start = cursor->at;
    /* mutant: base_json_pick */
    bool nested = MUTANT(json_pick_inside) && *start == '{';
    if (nested && json_pick(start, (size_t) (cursor->end - start), picks, n_picks))
        return skip_value(cursor);
    if (!skip_value(cursor))
        return false;
    if (pick) {
        pick->value = start;
        pick->n = (size_t) (cursor->at - start);
        ++*n_found;
    }
    return true;
}

bool json_pick(const char *text, size_t n, JsonPick *picks, unsigned n_picks)
{
    Cursor cursor = { text, text + n };
    unsigned n_found = 0;
    skip_blanks(&cursor);
    if (cursor.at >= cursor.end || *cursor.at++ != '{')
        return false;
    skip_blanks(&cursor);
    if (cursor.at < cursor.end && *cursor.at == '}')
        return true;
    while (take_member(&cursor, picks, n_picks, &n_found)) {
        if (n_found == n_picks)
            return true;
        skip_blanks(&cursor);
        if (cursor.at >= cursor.end)
            return false;
        if (*cursor.at == '}')
            return true;
        if (*cursor.at++ != ',')
            return false;
        skip_blanks(&cursor);
    }
    return false;
}

bool json_pick_text(const JsonPick *pick, size_t *at, const char **text, size_t *n)
{
    while (pick->value && *at < pick->n) {
        Cursor cursor = { pick->value + *at, pick->value + pick->n };
        const char *start = cursor.at;
        if (*start == '"' && skip_string(&cursor)) {
            *at += (size_t) (cursor.at - start);
            *text = start + 1;
            *n = (size_t) (cursor.at - start) - 2;
            if (!memchr(*text, '\\', *n))
                return true;
        } else if (*at > 0 && (*start == '{' || *start == '[') && skip_brackets(&cursor)) {
            *at += (size_t) (cursor.at - start);
        } else if (*at == 0 && *start == '{') {
            return false;
        } else {
            ++*at;
        }
    }
    return false;
}
