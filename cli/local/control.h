#pragma once
// How `culvert local …` speaks with a running world: one request and one answer, each a line of JSON, over an abstract unix socket that belongs to
// the world's first process (so it is there exactly as long as the world is). An answer may carry descriptors. Only root is served.

#include <sys/types.h>

#include <chrono>
#include <string>
#include <vector>

#include "common/base/fd.h"
#include "common/base/result.h"

namespace culvert::local {

struct Message {
  std::string text;
  std::vector<Fd> fds;
};

// The world's end. Fails when a world of that name is already there.
Result<Fd> listen_for_control(const std::string& world);
// One request of a client that has connected; waits at most a second for it. Empty when the client only looked whether we are there. Fails for clients that are not root.
Result<std::string> read_request(int client);
// Blocking; a client that went away is not an error worth a word.
void send_answer(int client, const std::string& text, const std::vector<int>& fds = {});

// The client's end.
class Client {
 public:
  // Fails when no such world is up.
  static Result<Client> open(const std::string& world);
  // May be called once per client.
  Result<Message> ask(const std::string& request);
  // The world's first process, seen from here.
  Result<pid_t> first_process() const;

 private:
  explicit Client(Fd fd) : fd_(std::move(fd)) {}
  Fd fd_;
};

}  // namespace culvert::local
