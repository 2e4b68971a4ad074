/* What every place must do. A place's test makes an empty remote and calls this. */
#pragma once

#include "remote/remote.h"

void remote_conform(Remote *remote);
