#pragma once
// Calls to a gRPC server over TLS 1.3. gRPC and its threads end here: messages are bytes, and every event arrives on a net::Loop.
// Objects of this file are made, used and destroyed on the loop that they post to; after the destructor of a call nothing arrives.

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/base/result.h"
#include "common/net/loop.h"

namespace culvert::rpc {

// Which server, and how it proves itself. The client shows no certificate; it is known by its token.
struct Server {
  std::string address{};    // "host:port", "1.2.3.4:15012", "[fd00::1]:15012"
  std::string roots_pem{};  // trust anchors; empty trusts nobody
  std::string name{};       // the name that its certificate must carry, instead of the host of `address`
};

// Reads "https://host:port" or "host:port" as a server's address. http:// is refused: there is no plaintext.
Result<std::string> parse_address(const std::string& url);

using Metadata = std::vector<std::pair<std::string, std::string>>;  // names in lower case

// How a call ended: the status code of gRPC (0 is OK) and its text.
struct Ended {
  int code = 0;
  std::string text{};

  bool ok() const { return code == 0; }
  std::string describe() const;  // "UNAVAILABLE: connection refused"; of a certificate that is not taken, what to look at
};

// A connection to one server, made on first use. Calls share it.
class Channel {
 public:
  explicit Channel(const Server& server);
  ~Channel();
  Channel(Channel&&) noexcept;
  Channel& operator=(Channel&&) noexcept;

  struct State;  // this folder's
  const std::shared_ptr<State>& state() const { return state_; }

 private:
  std::shared_ptr<State> state_;
};

// One bidirectional stream of messages. The next message is read when on_message has returned: a slow reader slows the sender.
class Stream {
 public:
  struct Events {
    std::function<void(std::string message)> on_message;
    std::function<void(Ended)> on_end;  // once, the last event; may destroy the Stream
  };

  // `path`: "/package.Service/Method".
  Stream(net::Loop& loop, const Channel& channel, const std::string& path, const Metadata& metadata, Events events);
  ~Stream();  // cancels a stream that has not ended
  Stream(const Stream&) = delete;

  void send(std::string message);  // queued, in order
  void finish();                   // nothing more will be sent

 private:
  struct Call;
  std::shared_ptr<Call> call_;
};

// One request and its answer.
class Unary {
 public:
  using Answer = std::function<void(Ended, std::string message)>;  // once; may destroy the Unary

  Unary(net::Loop& loop, const Channel& channel, const std::string& path, const Metadata& metadata, const std::string& request,
        std::chrono::milliseconds deadline, Answer answer);
  ~Unary();  // cancels a call that has not ended
  Unary(const Unary&) = delete;

 private:
  struct Call;
  std::shared_ptr<Call> call_;
};

}  // namespace culvert::rpc
