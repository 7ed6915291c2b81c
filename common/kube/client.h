#pragma once
// Asking the API server. One Client on one Loop, used on its thread only; it must outlive the tasks that it gives out.
//
//   auto answer = co_await client.call(kube::list({.of = services, .ns = "shop"}));      // the whole answer, or why not
//   auto stream = co_await client.open(kube::list({.of = services}, {{"watch", "1"}}));   // an answer as it arrives
//
// Connections are kept and used again: a few wait idle, those of a certificate that has changed are not used any more. A GET that meets
// a connection which the server has just closed is asked again on a new one; nothing else is, since it may have been done. An answer of
// 401 is tried once more when a token or certificate has come meanwhile.
//
// Errors read "list services: dialling 10.96.0.1:443: timed out after 10s", "patch pods/status shop/a: 409 Conflict: ...". Cancelling is
// destroying the task.

#include <chrono>
#include <cstddef>
#include <memory>
#include <string>

#include "common/base/result.h"
#include "common/http/message.h"
#include "common/kube/access.h"
#include "common/kube/request.h"
#include "common/net/loop.h"
#include "common/tls/stream.h"

namespace culvert::kube {

struct ClientOptions {
  std::string user_agent = "culvert";
  std::size_t calls = 8;  // at once, of call() and exchange(); the others wait, but for urgent ones. Streams are not counted.
  std::size_t idle = 4;   // connections kept for later
  std::chrono::milliseconds idle_for{60'000};
  std::size_t answer = 16 * 1024 * 1024;  // bytes of an answer that is held as a whole
  std::chrono::milliseconds connect{10'000};
};

class Client {
 public:
  Client(net::Loop& loop, Access access, ClientOptions options = {});
  ~Client();
  Client(const Client&) = delete;

  // An answer that is read as it arrives. When it is through, its connection goes back to the others; before, it is closed.
  class Stream {
   public:
    Stream(Stream&&) noexcept;
    Stream& operator=(Stream&&) noexcept;
    ~Stream();
    int status() const;
    const http::Headers& headers() const;
    // Some bytes of the body; none at its end. Fails when nothing comes for as long as that.
    net::Task<Result<std::string>> next(std::chrono::milliseconds patience);

   private:
    friend class Client;
    struct State;
    explicit Stream(std::unique_ptr<State> state);
    std::unique_ptr<State> state_;
  };

  // Fails unless the answer is a success: with refusal().
  net::Task<Result<http::Response>> call(Request request);
  // The answer, whatever it says.
  net::Task<Result<http::Response>> exchange(Request request);
  // Asks for another protocol on the connection, as `request` says in its headers. Fails with refusal() unless the server switches to it.
  struct Switched {
    tls::Stream stream;
    std::string early;  // what has come on it already
    http::Headers headers;
  };
  net::Task<Result<Switched>> upgrade(Request request);
  // The beginning of an answer, whatever it says.
  net::Task<Result<Stream>> open(Request request);

  net::Loop& loop() const;
  const Server& server() const;
  const std::string& default_namespace() const;

  struct State;

 private:
  std::shared_ptr<State> state_;
};

}  // namespace culvert::kube
