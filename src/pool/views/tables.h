/* The tables of views/, one per type. */
#pragma once

#include "pool/view.h"

#define V(cls, type, type_of, table) extern const ViewField table[];
#define N(cls)
#include "pool/views.def"
#undef V
#undef N

const char *vm_type(const Record *record);
const char *vdi_type(const Record *record);
