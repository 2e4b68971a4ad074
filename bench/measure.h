/* What an operation cost this process: CPU of all its threads, wall clock, peak resident memory;
 * printed as one line of JSON. What came before measure_begin is start-up and told apart. */
#pragma once

#include <glib.h>

typedef struct {
    double start_cpu_s, start_s;
} Measure;

void measure_begin(Measure *measure);
/* n_bytes: moved, 0 where that says nothing; n_items: points listed, reads done. */
void measure_end(const Measure *measure, guint64 n_bytes, guint64 n_items);
