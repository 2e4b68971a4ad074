/* Reading a filter: recursive descent over the grammar, alternatives tried in its order. The tree
 * it makes is evaluated in filter_match.c.
 *
 *   filter := ws term*
 *   term   := '(' term+ ')' | '|' ws '(' term+ ')' | '!' ws term | ('<' | '<=' | '>' | '>=') raw
 *           | prop ws ':' ws term | prop '?' | value
 *   value  := '"' … '"' | '/' regex '/' 'i'? | (raw | '*')+ */
#include "base/filter_node.h"

#include "base/error.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    const char *text, *at;
    unsigned depth;
    char *problem; /* of a regular expression */
} Parser;

static FilterNode *parse_term(Parser *parser);

static void set_problem(Parser *parser, const char *problem)
{
    g_free(parser->problem);
    parser->problem = g_strdup(problem);
}

static FilterNode *node_new(FilterKind kind)
{
    FilterNode *node = g_new0(FilterNode, 1);
    node->kind = kind;
    node->children = g_ptr_array_new_with_free_func((GDestroyNotify) filter_node_free);
    return node;
}

void filter_node_free(FilterNode *node)
{
    if (!node)
        return;
    g_ptr_array_unref(node->children);
    g_free(node->text);
    g_strfreev(node->parts);
    if (node->regex)
        g_regex_unref(node->regex);
    g_free(node);
}

static void skip_blanks(Parser *parser)
{
    while (*parser->at && strchr(" \t\r\n\f\v", *parser->at))
        parser->at++;
}

static bool take(Parser *parser, char c)
{
    if (*parser->at != c)
        return false;
    parser->at++;
    return true;
}

/* --- Words --- */

static bool is_raw(gunichar c)
{
    return g_unichar_isalpha(c) || g_unichar_isdigit(c) ||
           (c < 128 && c && strchr("_-.$", (int) c));
}

/* One or more raw characters (and '*' when `glob`), or NULL. */
static char *take_raw(Parser *parser, bool glob)
{
    const char *start = parser->at;
    while (*parser->at && (is_raw(g_utf8_get_char(parser->at)) || (glob && *parser->at == '*')))
        parser->at = g_utf8_next_char(parser->at);
    return parser->at > start ? g_strndup(start, (gsize) (parser->at - start)) : NULL;
}

static char *take_quoted(Parser *parser)
{
    const char *start = parser->at;
    if (!take(parser, '"'))
        return NULL;
    g_autoptr(GString) text = g_string_new(NULL);
    while (*parser->at && *parser->at != '"') {
        if (*parser->at == '\\' && parser->at[1])
            parser->at++;
        g_string_append_c(text, *parser->at++);
    }
    if (take(parser, '"'))
        return g_string_free(g_steal_pointer(&text), FALSE);
    parser->at = start;
    return NULL;
}

/* As JavaScript's Number(text). */
static bool parse_number(const char *text, double *number)
{
    char *end = NULL;
    const char *digits = text + (*text == '-' || *text == '+');
    bool hex = text[0] == '0' && (text[1] == 'x' || text[1] == 'X');
    if (strcmp(digits, "Infinity") == 0)
        *number = *text == '-' ? -INFINITY : INFINITY;
    else if (hex && g_ascii_isxdigit(text[2]))
        *number = (double) g_ascii_strtoull(text + 2, &end, 16);
    else if (g_ascii_isdigit(*digits) || (*digits == '.' && g_ascii_isdigit(digits[1])))
        *number = g_ascii_strtod(text, &end);
    else
        return false;
    return (!end || *end == '\0') && (hex || !strpbrk(text, "xXpP"));
}

/* --- Values --- */

static FilterNode *string_node(const char *text)
{
    FilterNode *node = node_new(FILTER_STRING);
    node->text = g_utf8_strdown(text, -1);
    return node;
}

static FilterNode *parse_regex(Parser *parser)
{
    const char *start = parser->at;
    if (!take(parser, '/'))
        return NULL;
    const char *from = parser->at;
    while (*parser->at && *parser->at != '/')
        parser->at += *parser->at == '\\' && parser->at[1] ? 2 : 1;
    g_autofree char *pattern = g_strdup_printf("(*LIMIT_MATCH=%d)%.*s", FILTER_REGEX_STEPS,
                                               (int) (parser->at - from), from);
    if (!take(parser, '/')) {
        parser->at = start;
        return NULL;
    }
    g_autoptr(GError) problem = NULL;
    GRegexCompileFlags flags = take(parser, 'i') ? G_REGEX_CASELESS : 0;
    GRegex *regex = g_regex_new(pattern, flags, 0, &problem);
    if (!regex) {
        set_problem(parser, problem->message);
        parser->at = start;
        return NULL;
    }
    FilterNode *node = node_new(FILTER_REGEX);
    node->regex = regex;
    return node;
}

static FilterNode *parse_glob(Parser *parser)
{
    g_autofree char *text = take_raw(parser, true);
    if (!text)
        return NULL;
    if (strchr(text, '*')) {
        g_autofree char *lower = g_utf8_strdown(text, -1);
        FilterNode *node = node_new(FILTER_GLOB);
        node->parts = g_strsplit(lower, "*", -1);
        return node;
    }
    FilterNode *node = string_node(text);
    if (parse_number(text, &node->number))
        node->kind = FILTER_NUMBER_OR_STRING;
    return node;
}

static FilterNode *parse_value(Parser *parser)
{
    g_autofree char *quoted = take_quoted(parser);
    if (quoted)
        return string_node(quoted);
    return *parser->at == '/' ? parse_regex(parser) : parse_glob(parser);
}

/* --- Terms --- */

/* term+ ')' */
static FilterNode *parse_group(Parser *parser, FilterKind kind)
{
    FilterNode *node = node_new(kind);
    for (;;) {
        skip_blanks(parser);
        if (node->children->len > 0 && take(parser, ')'))
            return node;
        FilterNode *child = parse_term(parser);
        if (!child)
            break;
        g_ptr_array_add(node->children, child);
    }
    filter_node_free(node);
    return NULL;
}

static FilterNode *parse_or(Parser *parser)
{
    parser->at++;
    skip_blanks(parser);
    return take(parser, '(') ? parse_group(parser, FILTER_OR) : NULL;
}

static FilterNode *wrap(FilterNode *node, FilterNode *child)
{
    if (child) {
        g_ptr_array_add(node->children, child);
        return node;
    }
    filter_node_free(node);
    return NULL;
}

static FilterNode *parse_not(Parser *parser)
{
    parser->at++;
    skip_blanks(parser);
    return wrap(node_new(FILTER_NOT), parse_term(parser));
}

static FilterNode *parse_comparison(Parser *parser)
{
    bool less = *parser->at++ == '<', equal = take(parser, '=');
    g_autofree char *text = take_raw(parser, false);
    double number;
    if (!text || !parse_number(text, &number)) {
        set_problem(parser, "expected a number to compare with");
        return NULL;
    }
    FilterNode *node = node_new(less ? (equal ? FILTER_AT_MOST : FILTER_BELOW)
                                     : (equal ? FILTER_AT_LEAST : FILTER_ABOVE));
    node->number = number;
    return node;
}

/* prop ws ':' ws term, or prop '?'; NULL with the position unchanged when it is neither. */
static FilterNode *parse_property(Parser *parser)
{
    const char *start = parser->at;
    g_autofree char *name = take_quoted(parser);
    if (!name)
        name = take_raw(parser, false);
    const char *after = parser->at;
    skip_blanks(parser);
    if (name && take(parser, ':')) {
        FilterNode *node = node_new(FILTER_PROPERTY);
        node->text = g_steal_pointer(&name);
        skip_blanks(parser);
        return wrap(node, parse_term(parser));
    }
    parser->at = after;
    if (name && take(parser, '?')) {
        FilterNode *node = node_new(FILTER_TRUTHY);
        node->text = g_steal_pointer(&name);
        return node;
    }
    parser->at = start;
    return NULL;
}

static FilterNode *parse_alternatives(Parser *parser)
{
    switch (*parser->at) {
    case '(':
        parser->at++;
        return parse_group(parser, FILTER_AND);
    case '|':
        return parse_or(parser);
    case '!':
        return parse_not(parser);
    case '<':
    case '>':
        return parse_comparison(parser);
    default: {
        const char *start = parser->at;
        FilterNode *node = parse_property(parser);
        return node || parser->at != start ? node : parse_value(parser);
    }
    }
}

static FilterNode *parse_term(Parser *parser)
{
    if (parser->depth >= FILTER_MAX_DEPTH) {
        set_problem(parser, "nested too deeply");
        return NULL;
    }
    parser->depth++;
    FilterNode *node = parse_alternatives(parser);
    parser->depth--;
    return node;
}

/* --- Filters --- */

static void set_error(Parser *parser, GError **error)
{
    glong position = g_utf8_pointer_to_offset(parser->text, parser->at);
    err_set(error, ERR_INVALID, "filter \"%.100s\": %s at position %ld", parser->text,
            parser->problem ? parser->problem
            : *parser->at   ? "unexpected text"
                            : "unexpected end",
            position);
    g_clear_pointer(&parser->problem, g_free);
}

Filter *filter_parse(const char *text, GError **error)
{
    Parser parser = { .text = text, .at = text };
    if (strlen(text) > FILTER_MAX_BYTES || !g_utf8_validate(text, -1, NULL)) {
        err_set(error, ERR_INVALID, "filter: expected UTF-8 text of at most %d bytes",
                FILTER_MAX_BYTES);
        return NULL;
    }
    FilterNode *root = node_new(FILTER_AND);
    skip_blanks(&parser);
    while (*parser.at) {
        FilterNode *term = parse_term(&parser);
        if (!term) {
            filter_node_free(root);
            set_error(&parser, error);
            return NULL;
        }
        g_ptr_array_add(root->children, term);
        skip_blanks(&parser);
    }
    return (Filter *) root;
}

static bool add_properties(const FilterNode *node, GPtrArray *names)
{
    bool parts = node->kind == FILTER_AND || node->kind == FILTER_OR || node->kind == FILTER_NOT;
    if (node->kind == FILTER_PROPERTY || node->kind == FILTER_TRUTHY)
        g_ptr_array_add(names, node->text);
    else if (!parts)
        return false;
    for (guint i = 0; parts && i < node->children->len; i++)
        if (!add_properties(node->children->pdata[i], names))
            return false;
    return true;
}

GPtrArray *filter_properties(const Filter *filter)
{
    GPtrArray *names = g_ptr_array_new();
    if (add_properties((const FilterNode *) filter, names))
        return names;
    g_ptr_array_unref(names);
    return NULL;
}

void filter_free(Filter *filter)
{
    filter_node_free((FilterNode *) filter);
}
