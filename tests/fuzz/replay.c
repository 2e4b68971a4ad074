/* Runs a fuzz target over the files of its corpus folder, so that every finding stays fixed. */
#include <glib.h>
#include <stdint.h>
#include <stdio.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int main(int argc, char **argv)
{
    unsigned n_files = 0;
    g_autoptr(GDir) dir = argc > 1 ? g_dir_open(argv[1], 0, NULL) : NULL;
    const char *name;
    while (dir && (name = g_dir_read_name(dir))) {
        g_autofree char *path = g_build_filename(argv[1], name, NULL);
        g_autofree char *data = NULL;
        gsize size;
        if (g_file_get_contents(path, &data, &size, NULL)) {
            LLVMFuzzerTestOneInput((const uint8_t *) data, size);
            n_files++;
        }
    }
    printf("%u inputs\n", n_files);
    return n_files ? 0 : 1;
}
