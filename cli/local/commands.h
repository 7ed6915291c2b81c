#pragma once
// `culvert local …`: a mesh without a cluster. Each function is one command and returns the program's exit code:
//   0 done   1 could not (said on standard error)   3 no such world is up   4 up, but not everything is ready
// exec: the command's own code; 125 when it could not be run at all, 126 and 127 as shells have them, 128 + n for signal n.

#include <string>
#include <vector>

namespace culvert::local {

inline constexpr int kFailed = 1, kNoWorld = 3, kNotReady = 4;

struct UpOptions {
  std::string world = "default";
  std::string folder;
  int nodes = 2;
  bool mesh = true;
  bool foreground = false;  // stay, and take the world down when ended
  int timeout_seconds = 60;
  std::vector<std::string> env;  // NAME=VALUE for the mesh's programs
};
int up(const UpOptions& options);

int status(const std::string& world, bool as_json);
int settle(const std::string& world, int timeout_seconds, bool as_json);

struct ExecOptions {
  std::string world = "default";
  std::string target, container;
  std::vector<std::string> command;
  bool privileged = false;  // with every capability
};
int exec(const ExecOptions& options);

int logs(const std::string& world, const std::string& target, const std::string& container, bool follow);
int stop_program(const std::string& world, const std::string& target, int signal);
int start_program(const std::string& world, const std::string& target);
int down(const std::string& world);
int serve_dns_command(const std::string& file, const std::vector<std::string>& addresses);

// The tables that `up`, `status` and `settle` print, of a world's answer to "status".
std::string status_tables(const std::string& answer);

}  // namespace culvert::local
