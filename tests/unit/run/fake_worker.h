/* Workers that do what the test wants: the test's own executable, started by the code under test.
 * The job's name, or the remote's, says how they behave. */
#pragma once

int fake_worker(void);
int fake_repository_worker(void);
