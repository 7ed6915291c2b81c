#pragma once
// culvert-node as a whole: wiring, signals, and what it serves over HTTP.

#include "cni/agent/settings.h"

namespace culvert::agent {

// Runs until SIGTERM or SIGINT. Returns the exit code; what was put in force stays in force.
int run(const Settings& settings, const settings::Table& table);

}  // namespace culvert::agent
