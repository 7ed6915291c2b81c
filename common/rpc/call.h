#pragma once
// One call of a server, between the thread of its connection and the loop of its handler: what either wants of the other is posted. Of this folder.

#include <atomic>
#include <memory>
#include <string>
#include <unordered_map>

#include "common/http/http2.h"
#include "common/net/loop.h"
#include "common/rpc/budget.h"
#include "common/rpc/server.h"

namespace culvert::rpc {

class Connection;
class Call;

// The handler's side of a server: what is on its loop. Kept by all that is posted there, which may run when the server has gone.
struct Hearing {
  net::Loop& loop;
  CallServer::Handler handler;
  std::unordered_map<const Call*, std::weak_ptr<Call>> live{};  // of which the handler has heard
  bool closed = false;
};

class Call final : public ServerCall, public std::enable_shared_from_this<Call> {
 public:
  struct Facts {
    http::Http2::StreamId stream = 0;
    std::string path;
    http::HeaderList metadata;
    Endpoint peer;
    std::shared_ptr<const std::string> certificate;  // of the connection
  };
  Call(std::shared_ptr<Hearing> hearing, net::Loop& its_loop, std::weak_ptr<Connection> connection, Facts facts);
  ~Call() override;

  // --- the handler's loop
  const std::string& path() const override { return facts_.path; }
  const Endpoint& peer() const override { return facts_.peer; }
  const std::string& certificate() const override { return *facts_.certificate; }
  std::string_view metadata(std::string_view name) const override;
  void proved(const std::string& caller) override;
  void accept(Events events) override;
  void send(std::string message) override;
  void send(Pieces message) override;
  void answer(std::string message) override;
  void finish(Ended status) override;
  // The server goes: nothing of this call can reach its connection any more.
  void detach();

  // --- the connection's thread
  void hear();                                             // the handler is told of it
  bool ready();                                            // for one more message; else resume() is posted once it is
  void deliver(std::string message, Budget::Share share);  // only when ready()
  void sent(std::uint64_t number);                         // and all that were given before it
  void finished_sending();                                 // the peer
  // The stream is no more: the last of these. `known` is called on the connection's thread once the handler knows it, if there is still a server.
  void closed(std::move_only_function<void()> known);

 private:
  template <class Action>
  void on_connection(Action action);
  void read(std::string message);
  void end();

  const std::shared_ptr<Hearing> hearing_;
  net::Loop& its_loop_;
  const std::weak_ptr<Connection> connection_;
  const Facts facts_;
  // A message is with the handler; the connection waits until it is not.
  std::atomic<bool> reading_ = false, stalled_ = false;
  Events events_;
  std::uint64_t sends_ = 0;
  bool accepted_ = false;
  bool ended_ = false;     // the peer has gone
  bool finished_ = false;  // we have said how it ends
  bool detached_ = false;
};

}  // namespace culvert::rpc
