#pragma once
// An HTTP/2 client over TLS that sends whatever frames it is told to, for tests of what a hostile caller can do. Blocking; it gives up after ten seconds
// in which nothing moves.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/fd.h"
#include "common/tls/session.h"

namespace culvert::test {

// A connection to a port of this machine from an address of it; none when it is refused.
Fd dial(int port, const std::string& from);

class RawClient {
 public:
  enum Type : std::uint8_t { kData = 0, kHeaders = 1, kReset = 3, kSettings = 4, kPing = 6, kGoAway = 7, kContinuation = 9 };
  static constexpr std::uint8_t kEndStream = 1, kEndHeaders = 4, kAck = 1;
  // The stream of the next call.
  std::uint32_t next() { return std::exchange(next_, next_ + 2); }
  using Fields = std::vector<std::pair<std::string, std::string>>;

  // `own`: a certificate to show. `from`: our address. Without roots: without TLS.
  RawClient(int port, const std::string& roots_pem, std::optional<tls::KeyPair> own = {}, const std::string& from = "127.0.0.1");

  bool alive() const { return alive_; }  // as far as is known
  void frame(Type type, std::uint8_t flags, std::uint32_t stream, std::string_view payload);
  // Sends what there is, and takes in what has come. False: the connection has ended.
  bool flush();
  // Sends what there is, and reads nothing.
  bool push();
  // Until the server ends it.
  bool ends();

  // A header block without references to what came before.
  static std::string block(const Fields& fields);
  static Fields request(const std::string& path, const std::string& token);
  static std::string message(std::string_view body);  // of gRPC

  // A whole call: its grpc-status and message; with `all` false we do not say that we have sent all, and the first piece of an answer is enough. Nothing: the
  // connection has ended.
  struct Answer {
    int status = -1;
    std::string text, message;
  };
  // The same of a call that was made by frames: from now on, and how far it is.
  void listen(std::uint32_t stream) { answers_.emplace_back(stream, Answer{}); }
  Answer heard(std::uint32_t stream);
  std::optional<Answer> call(const std::string& path, const std::string& token, std::string_view body, bool all = true);

 private:
  bool move(bool wait);
  void read_frames();
  void read_headers(std::uint32_t stream, std::string_view payload);

  Fd fd_;
  std::optional<tls::Session> session_;
  bool alive_ = false;
  std::uint32_t next_ = 1;
  std::string out_, in_, plain_;
  std::vector<std::pair<std::uint32_t, Answer>> answers_;
  std::vector<std::uint32_t> ended_;
  struct Inflater;
  std::shared_ptr<Inflater> inflater_;
};

}  // namespace culvert::test
