/* One walk over the members; each name is looked for among those that are wanted. */
#include "base/json_pick.h"

#include "base/json_members.h"
#include "base/mutant.h"

#include <string.h>

static JsonPick *wanted(JsonPick *picks, unsigned n_picks, const JsonMember *member)
{
    for (unsigned i = 0; i < n_picks; i++)
        if (!picks[i].value && strlen(picks[i].name) == member->n_name &&
            memcmp(picks[i].name, member->name, member->n_name) == 0)
            return &picks[i];
    return NULL;
}

void json_pick(const char *text, size_t n, JsonPick *picks, unsigned n_picks)
{
    JsonMembers members;
    JsonMember member;
    json_members_init(&members, text, n);
    for (unsigned n_found = 0; n_found < n_picks && json_members_next(&members, &member);) {
        if (MUTANT(json_pick_inside) && *member.value == '{') /* mutant: base_json_pick */
            json_pick(member.value, member.n_value, picks, n_picks);
        JsonPick *pick = wanted(picks, n_picks, &member);
        if (!pick)
            continue;
        pick->value = member.value;
        pick->n = member.n_value;
        n_found++;
    }
}

/* After the string whose opening quote is at `at`; the end when it has none. */
static size_t after_string(const JsonPick *pick, size_t at)
{
    for (at++; at < pick->n && pick->value[at] != '"'; at++)
        if (pick->value[at] == '\\')
            at++;
    return at < pick->n ? at + 1 : pick->n;
}

/* Inner arrays and objects are crossed with all their strings. */
static size_t after_nested(const JsonPick *pick, size_t at)
{
    unsigned depth = 0;
    while (at < pick->n) {
        char c = pick->value[at];
        if (c == '"') {
            at = after_string(pick, at);
            continue;
        }
        at++;
        if (c == '{' || c == '[')
            depth++;
        else if ((c == '}' || c == ']') && --depth == 0)
            break;
    }
    return at;
}

bool json_pick_text(const JsonPick *pick, size_t *at, const char **text, size_t *n)
{
    if (!pick->value || *pick->value == '{')
        return false;
    if (*at == 0 && *pick->value == '[')
        *at = 1;
    while (*at < pick->n) {
        size_t start = *at;
        char c = pick->value[start];
        *at = c == '"'               ? after_string(pick, start)
              : c == '{' || c == '[' ? after_nested(pick, start)
                                     : start + 1;
        if (c != '"' || *at - start < 2)
            continue;
        *text = pick->value + start + 1;
        *n = *at - start - 2;
        if (!memchr(*text, '\\', *n))
            return true;
    }
    return false;
}
