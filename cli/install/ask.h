#pragma once
// What install, upgrade and uninstall say to the operator, and ask. Internal to install.

#include <string>

#include "cli/install/child.h"
#include "cli/install/helm.h"

namespace culvert::cli::install {

// "culvert: TEXT" on standard error; 1.
int complain(const Error& error);
// The same, of a helm that cannot be started, with what to install.
Error without_helm(Error error);

// "QUESTION Proceed? (y/N) " and a line of standard input. True with `yes`, which prints no question.
bool confirmed(const std::string& question, bool yes);

// What helm says of the release that there is.
struct Installed {
  bool exists = false;
  int revision = 0;
  std::string status = {};  // "deployed", "failed", ...
};
Result<Installed> ask_helm(const Release& release);

// "https://10.0.0.1:6443"
std::string server_of(const ClusterFlags& cluster);

}  // namespace culvert::cli::install
