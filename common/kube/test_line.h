#pragma once
// Whoever leads waits for its turn behind calls of others, and leads no more when that has come. For tests of what a leader alone may write.

#include <chrono>
#include <functional>
#include <memory>
#include <tuple>

#include "common/kube/client.h"
#include "common/kube/leadership.h"
#include "common/kube/test_peer.h"

namespace culvert::kube {

// `lead` hands the leadership to the writer, which has something to write. `client`: with the usual number of calls at once, all free.
inline void lose_in_line(net::Loop& loop, Peer& peer, Client& client, const std::function<void(Leadership)>& lead) {
  constexpr std::chrono::milliseconds kMoment{5}, kWhile{100};
  const auto run_for = [&loop](std::chrono::milliseconds time) {
    loop.run(
        [](net::Loop* on, std::chrono::milliseconds some) -> net::Task<> { co_await net::sleep_for(*on, some); }(&loop, time));
  };
  const auto script = peer.script;
  peer.script = [script](const http::Request& request) {
    return request.target == "/other" ? Steps{wait(), answer(200, "{}").front()} : script(request);
  };
  std::size_t others = ClientOptions().calls;
  for (std::size_t i = 0; i < ClientOptions().calls; ++i)
    loop.spawn([](Client* asked, std::size_t* left) -> net::Task<> {
      std::ignore = co_await asked->call(get_path("/other"));
      --*left;
    }(&client, &others));
  const auto leads = std::make_shared<bool>(true);
  lead(Leadership([leads] { return *leads; }));
  run_for(kWhile);
  *leads = false;
  while (others > 0) {
    peer.go();
    run_for(kMoment);
  }
  run_for(kWhile);
  std::erase_if(peer.asked, [](const http::Request& request) { return request.target == "/other"; });
}

}  // namespace culvert::kube
