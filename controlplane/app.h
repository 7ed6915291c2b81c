#pragma once
// culvertd put together.

#include "controlplane/settings.h"

namespace culvert::controlplane {

// Runs until SIGTERM or SIGINT. The exit code: 1 with one line when it cannot start.
int run(const Settings& settings, const settings::Table& table);

}  // namespace culvert::controlplane
