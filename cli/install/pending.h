#pragma once
// A release that helm's record says somebody is changing: another helm that is at work, or one that was killed half way. helm can tell neither from the
// other, and refuses to touch it. Internal to install.

#include <chrono>

#include "cli/install/ask.h"
#include "cli/install/install.h"

namespace culvert::cli::install {

// "pending-install", "pending-upgrade" or "pending-rollback".
bool is_pending(const Installed& installed);

// What is there once nobody is at it. The operator is asked whether a helm is at work, and the half done release is taken over if none is; who wants no
// questions (`yes`) waits as long as that helm may take (the timeout), counted from when its record was made, and takes over then. Taking over is to delete
// the record, which fails if it has changed meanwhile: what the cluster has stays, and is what the next helm begins with.
// Nothing is waited for and changed by a dry run. Fails when the operator says no, and when the release is being uninstalled.
Result<Installed> settle(const Options& options, Installed installed);

}  // namespace culvert::cli::install
