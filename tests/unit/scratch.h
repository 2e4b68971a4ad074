/* A folder of a test's own, under $TMPDIR. */
#pragma once

/* Caller hands it back to scratch_drop. */
char *scratch_new(void);
/* Removes it with all that is in it, and frees the path. */
void scratch_drop(char *folder);
