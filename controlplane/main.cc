// culvertd: the control plane. Objects in, configuration and certificates for proxies out.

#include "common/base/slice.h"
#include "controlplane/app.h"
#include "controlplane/settings.h"

int main(int argc, char** argv) {
  culvert::controlplane::Settings settings;
  auto table = settings.table();
  if (const auto exit_code = table.read(argc, argv)) return *exit_code;
  culvert::ask_for_short_slices();
  return culvert::controlplane::run(settings, table);
}
