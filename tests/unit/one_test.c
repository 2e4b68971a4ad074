/* Lets CADENZA_TEST name the one test of an executable that shall run (* and ? match): a mutant
 * needs no other than the one that catches it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

__attribute__((constructor)) static void choose(void)
{
    const char *name = getenv("CADENZA_TEST");
    if (name)
        cmocka_set_test_filter(name);
}
