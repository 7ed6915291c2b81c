#pragma once
// One connection to the API server: TLS and HTTP/1.1, one request at a time. Of this folder.

#include <array>
#include <cstddef>
#include <memory>
#include <string>
#include <utility>

#include "common/http/http1.h"
#include "common/kube/access.h"
#include "common/net/loop.h"
#include "common/net/timer.h"
#include "common/tls/stream.h"

namespace culvert::kube {

class Connection {
 public:
  // Tries each address of the server's name. Fails when the certificate is not for that name, or not by one of its roots.
  static net::Task<Result<std::unique_ptr<Connection>>> open(net::Loop& loop, Server server, tls::Context context,
                                                             std::chrono::milliseconds timeout);
  explicit Connection(tls::Stream stream);
  ~Connection();
  Connection(const Connection&) = delete;

  // Sends the request, and reads until the header fields of its answer are here.
  net::Task<Status> ask(const http::Request& request, std::string host, net::Clock::time_point deadline);
  int status() const { return status_; }
  const http::Headers& headers() const { return headers_; }
  // What comes next of the answer's body; empty at its end.
  net::Task<Result<std::string>> more(net::Clock::time_point deadline);

  // After an answer of 101: what this connection is now, and what of the other protocol has come already.
  std::pair<tls::Stream, std::string> release();

  bool untouched() const { return !begun_; }               // nothing of the answer came
  bool reusable() const { return reusable_ && !secret_; }  // the answer is through, and another may follow
  // From now on what passes is wiped, and the connection is not used again.
  void keep_secret();
  bool quiet();  // the server says nothing and has not closed: good for a request

 private:
  net::Task<Status> read(net::Clock::time_point deadline);
  void take_body();
  Error broken(const net::Io& io);
  void arm(net::Clock::time_point deadline);
  void end();

  tls::Stream stream_;
  net::Timer timer_;
  http::ResponseReader reader_;
  http::Headers headers_;
  std::string pending_;  // of the body
  std::array<std::byte, std::size_t{16} * 1024> buffer_;
  int status_ = 0;
  bool late_ = false;
  bool begun_ = false;
  bool ended_ = false;
  bool reusable_ = false;
  bool secret_ = false;
};

}  // namespace culvert::kube
