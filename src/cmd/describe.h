/* The verb `describe` of cadenzad. */
#pragma once

/* Prints {methods: {name: info}, rest: OpenAPI}; the exit status. */
int cmd_describe(void);
