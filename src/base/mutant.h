/* Points where the code can be made wrong, or stopped, on purpose.
 *
 * MUTANT(name) is false, and costs nothing, except in a build with -Dmutants=true whose environment
 * has CADENZA_MUTANT=name. Write it where a plausible mistake would be:
 *     if (n_points >= keep + MUTANT(retention_off_by_one)) ...
 * with its test on the same line in a comment: "mutant: <unit or system test>". `./run test
 * mutants` fails when that test still passes.
 *
 * CRASH_POINT(name) ends the process at once, as a power cut would, when CADENZA_CRASH=name, or
 * name:N for the Nth visit, or @FILE for the first line of that file, which the crash takes out of
 * it. CADENZA_CRASH_VISITS names a file that gets a line for every visit. Compiled into every build
 * but release (NDEBUG not set and sanitizers or mutants on). */
#pragma once

#include <stdbool.h>

bool mutant_is(const char *name);
void crash_visit(const char *name);

#ifdef CADENZA_MUTANTS
#define MUTANT(name) mutant_is(#name)
#else
#define MUTANT(name) false
#endif

#if defined(CADENZA_MUTANTS) || defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define CRASH_POINT(name) crash_visit(#name)
#else
#define CRASH_POINT(name) ((void) 0)
#endif
