/* ru_maxrss would be that of whoever started us, where that was larger: the kernel's own high-water
 * mark of this program is in /proc. */
#include "measure.h"

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

static double cpu_s(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double) (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double) (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static unsigned peak_kib(void)
{
    unsigned kib = 0;
    g_autofree char *status = NULL;
    if (g_file_get_contents("/proc/self/status", &status, NULL, NULL)) {
        const char *line = strstr(status, "VmHWM:");
        kib = line ? (unsigned) g_ascii_strtoull(line + strlen("VmHWM:"), NULL, 10) : 0;
    }
    return kib;
}

void measure_begin(Measure *measure)
{
    measure->start_cpu_s = cpu_s();
    measure->start_s = (double) g_get_monotonic_time() / 1e6;
}

void measure_end(const Measure *measure, guint64 n_bytes, guint64 n_items)
{
    double cpu = cpu_s() - measure->start_cpu_s;
    double wall = (double) g_get_monotonic_time() / 1e6 - measure->start_s;
    printf("{\"start_cpu_s\": %.4f, \"cpu_s\": %.4f, \"wall_s\": %.4f, \"peak_kib\": %u, "
           "\"bytes\": %" G_GUINT64_FORMAT ", \"items\": %" G_GUINT64_FORMAT "}\n",
           measure->start_cpu_s, cpu, wall, peak_kib(), n_bytes, n_items);
    fflush(stdout);
}
