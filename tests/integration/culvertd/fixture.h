#pragma once
// A real culvertd over a folder of its own, and a client of its gRPC port, for tests.

#include <gtest/gtest.h>
#include <sys/types.h>

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/net/loop.h"
#include "common/rpc/client.h"
#include "common/xds/wire.h"

namespace culvert::test {

inline constexpr const char* kToken1 = "token-of-node-one";
inline constexpr const char* kToken2 = "token-of-node-two";

// One below those that the kernel gives to clients: nobody takes it between two starts.
int free_port();

// One discovery stream: what it received, as the client holds it.
class Subscriber {
 public:
  struct Response {
    std::string nonce;
    std::vector<std::string> put;      // names, sorted
    std::vector<std::string> removed;  // sorted
  };

  Subscriber(net::Loop& loop, const rpc::Server& server, const std::string& token);

  void subscribe(std::string_view type, std::map<std::string, std::string> held = {});
  // With the sums of what it holds. Answers when it is asked for more, if it acknowledges.
  void subscribe_with_sums(std::string_view type, std::map<std::string, std::string> held);
  // On demand: "*" in both at first, then names.
  void demand(std::string_view type, std::vector<std::string> names, std::vector<std::string> unwanted = {});
  void acknowledge(std::string_view type, const std::string& nonce, const std::string& error = "");

  bool acknowledges = true;                                                       // by itself, each response
  std::map<std::string, std::vector<Response>, std::less<>> responses;            // by type
  std::map<std::string, std::map<std::string, xds::Resource>, std::less<>> held;  // by type and name
  std::map<std::string, std::string> versions(std::string_view type) const;
  int questions = 0;  // that it was asked
  std::optional<rpc::Ended> ended;
  std::chrono::steady_clock::time_point last;  // when the last response came

 private:
  void received(const std::string& message);

  xds::Versions held_before_;  // of which it has said the sums
  rpc::Channel channel_;
  std::unique_ptr<rpc::Stream> stream_;
};

struct CulvertdTest : ::testing::Test {
  CulvertdTest();
  ~CulvertdTest() override;

  // Starts culvertd and waits until it serves. False when it ended instead: then `exit_code` and the log say how.
  bool start();
  void stop(int signal = 15);
  void write(const std::string& name, std::string_view text) const;  // into the configuration, at once as a whole
  void remove(const std::string& name) const;
  std::string log() const;
  // Waits until the log says so: lines are written a moment after what they tell of.
  bool says(std::string_view text);
  rpc::Server server() const;
  // GET of a page, its body.
  std::string metrics() const;
  std::string page(const std::string& path) const;
  // GET of a page with a bearer token, status line and all.
  static std::string get(int from, const std::string& path, const std::string& token = "");

  // Runs the loop until `done`; fails the test after five seconds.
  void until(const std::function<bool()>& done, const char* what);
  std::unique_ptr<Subscriber> connect(const std::string& token = kToken1);
  // A CreateCertificate call.
  struct Signed {
    rpc::Ended ended;
    std::vector<std::string> chain;
  };
  Signed sign(const std::string& token, const std::string& identity, long seconds = 0);

  std::string folder;
  std::string data = "data";                       // in it: --data-dir
  std::map<std::string, std::string> environment;  // settings of the next start
  int port = 0, metrics_port = 0, debug_port = 0;
  pid_t pid = -1;
  int exit_code = -1;
  net::Loop loop;
};

std::string pod(std::string_view name, std::string_view node, std::string_view address, std::string_view account = "web");
std::string policy(std::string_view name, std::string_view spec);

}  // namespace culvert::test
