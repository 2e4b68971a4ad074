/* A walk over the top level of an object: strings are skipped by looking for their end, what nests
 * by counting brackets. */
#include "base/json_members.h"
#include "base/mutant.h"

#include <string.h>

static bool is_blank(char c)
{
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

static const char *skip_blanks(const char *at, const char *end)
{
    while (at < end && is_blank(*at))
        at++;
    return at;
}

/* After the string that begins at the quote `at`, or NULL. */
static const char *skip_string(const char *at, const char *end)
{
    for (const char *quote = at + 1; (quote = memchr(quote, '"', (size_t) (end - quote)));
         quote++) {
        const char *before = quote;
        while (before[-1] == '\\' && before - 1 > at)
            before--;
        if ((quote - before) % 2 == 0 ||
            MUTANT(json_members_escapes)) /* mutant: base_json_members */
            return quote + 1;
    }
    return NULL;
}

static const char *skip_nested(const char *at, const char *end)
{
    for (unsigned depth = 0; at && at < end;) {
        char c = *at;
        if (c == '"') {
            at = skip_string(at, end);
            continue;
        }
        at++;
        if (c == '{' || c == '[')
            depth++;
        else if ((c == '}' || c == ']') && --depth == 0)
            return at;
    }
    return NULL;
}

static const char *skip_value(const char *at, const char *end)
{
    if (at == end)
        return NULL;
    if (*at == '"')
        return skip_string(at, end);
    if (*at == '{' || *at == '[')
        return skip_nested(at, end);
    const char *start = at;
    while (at < end && !is_blank(*at) && *at != ',' && *at != '}')
        at++;
    return at > start ? at : NULL;
}

void json_members_init(JsonMembers *members, const char *text, size_t n)
{
    members->end = text + n;
    members->at = skip_blanks(text, members->end);
    if (members->at < members->end && *members->at == '{')
        members->at++;
    else
        members->at = members->end;
}

static bool end_walk(JsonMembers *members)
{
    members->at = members->end;
    return false;
}

bool json_members_next(JsonMembers *members, JsonMember *member)
{
    const char *end = members->end;
    const char *name = skip_blanks(members->at, end);
    if (name < end && *name == ',')
        name = skip_blanks(name + 1, end);
    if (name == end || *name != '"')
        return end_walk(members);
    const char *after = skip_string(name, end);
    const char *colon = after ? skip_blanks(after, end) : end;
    if (colon == end || *colon != ':')
        return end_walk(members);
    const char *value = skip_blanks(colon + 1, end);
    const char *value_end = skip_value(value, end);
    if (!value_end)
        return end_walk(members);
    *member =
        (JsonMember){ name + 1, (size_t) (after - name) - 2, value, (size_t) (value_end - value) };
    members->at = value_end;
    return true;
}
