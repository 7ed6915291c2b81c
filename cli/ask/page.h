#pragma once
// Pages of the mesh's programs, for commands: HTTP/1.1 without TLS, as they serve them; over TCP, or to a pod through the API server. One Loop.

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "common/base/fd.h"
#include "common/base/result.h"
#include "common/http/message.h"
#include "common/kube/client.h"
#include "common/kube/object.h"
#include "common/net/loop.h"

namespace culvert::cli {

// One program that is asked.
struct Target {
  std::string host = {};
  std::uint16_t port = 80;
  std::string base = {};                       // in front of every path; no slash at its end
  std::string token = {};                      // bearer token; empty: none is sent
  std::shared_ptr<const Fd> netns = nullptr;   // the network namespace to ask from; null: ours
  std::shared_ptr<kube::Client> cluster = {};  // instead of `host`: `port` of `pod`, by port-forward; on the asking Loop
  kube::Key pod = {};

  std::string text() const;  // "http://127.0.0.1:15014", "pod istio-system/ztunnel-x:15000"
  // "http://HOST:PORT/BASE". Fails on https: these pages have no TLS of their own.
  static Result<Target> parse(std::string_view url);
};

// Where culvertd of a local world (`culvert local`) is asked. Makes the world look at its folder first, so that what was just saved is handed on.
// Fails when there is no such world, or its folder is not in force.
Result<Target> target_of_world(const std::string& world);
// Where the ztunnel of a node of that world is asked.
Result<Target> ztunnel_of_world(const std::string& world, const std::string& node);

// The body of an answer of 200. Fails otherwise: "asking http://127.0.0.1:15014/debug/epochs: 401 Unauthorized: ... (--token-file)".
net::Task<Result<std::string>> ask_page(net::Loop& loop, Target target, std::string method, std::string path,
                                        std::chrono::milliseconds timeout);
net::Task<Result<std::string>> get_page(net::Loop& loop, Target target, std::string path, std::chrono::milliseconds timeout);

// A bearer token from a file; the file is a secret, its text is not shown.
Result<std::string> read_token(const std::string& file);
// A whole file, or with "-" standard input.
Result<std::string> read_input(const std::string& file);

std::string percent_encoded(std::string_view text);

}  // namespace culvert::cli
