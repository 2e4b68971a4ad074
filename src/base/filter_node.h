/* The tree of a parsed filter, between its parser and its evaluation. */
#pragma once

#include "base/filter.h"

/* A regular expression that takes more steps on a text does not match. */
enum { FILTER_REGEX_STEPS = 100000 };

typedef enum {
    FILTER_AND,
    FILTER_OR,
    FILTER_NOT,
    FILTER_BELOW,
    FILTER_AT_MOST,
    FILTER_ABOVE,
    FILTER_AT_LEAST,
    FILTER_PROPERTY,
    FILTER_TRUTHY,
    FILTER_STRING,
    FILTER_NUMBER_OR_STRING,
    FILTER_GLOB,
    FILTER_REGEX,
} FilterKind;

typedef struct {
    FilterKind kind;
    GPtrArray *children; /* FilterNode */
    char *text;          /* a property's name; a string in lower case */
    char **parts;        /* between the stars of a glob, in lower case */
    double number;
    GRegex *regex;
} FilterNode;

void filter_node_free(FilterNode *node);
