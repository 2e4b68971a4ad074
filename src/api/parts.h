/* What the methods work with: the rooms of the server, made by cmd/ at start. */
#pragma once

#include "account/account.h"
#include "api/address_leases.h"
#include "api/downloads.h"
#include "api/duties.h"
#include "api/errands.h"
#include "api/hub.h"
#include "api/pace.h"
#include "api/remotes.h"
#include "api/servers.h"
#include "api/set_leases.h"
#include "api/tasks.h"
#include "job/job.h"
#include "plugin/plugins.h"
#include "run/repositories.h"
#include "run/runs.h"
#include "run/schedules.h"
#include "store/store.h"

typedef struct ApiParts {
    Store *store;
    Accounts *accounts;
    Hub *hub;
    Servers *servers;
    Remotes *remotes;
    Jobs *jobs;
    Runs *runs;
    Repositories *repositories;
    Downloads *downloads;
    Errands *errands;
    SetLeases *set_leases;
    AddressLeases *address_leases;
    Duties *duties;
    Plugins *plugins;
    Tasks *tasks;          /* NULL: what lasts is no task */
    Pace *pace;            /* NULL: any number of calls */
    gint64 host_wait_ms;   /* how long hosts are waited for; 0: as long as each of them may take */
    gint64 cloud_drive_ms; /* how long a drive that is to go stays beside the tools that report */
} ApiParts;
