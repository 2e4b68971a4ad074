/* `cadenza repo …`: looks into a repository, without a server. argv[0] is "repo". */
#pragma once

int cmd_repo(int argc, char **argv);
