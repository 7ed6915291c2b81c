// Who may see the debug pages, and what of them has to be waited for.
#include <utility>

#include "common/base/log.h"
#include "common/derive/mesh_config.h"
#include "common/net/event.h"
#include "controlplane/epochs.h"
#include "controlplane/serving.h"

namespace culvert::controlplane {

Absent Serving::absent() const {
  if (!callers_) return {};
  Absent::Nodes connected, away;
  for (const auto& client : xds_.clients()) connected.insert(client.node);
  for (const auto& [node, since] : xds_.away()) away.insert(node);
  const bool just_begun = net::Clock::now() - began_ < XdsService::kAway;
  return Absent::of(callers_->nodes(), callers_->ready_nodes(), away, connected, just_begun);
}

net::Task<http::Response> Serving::epochs(http::Request request) {
  const auto asked = EpochsAsked::of(request, derive::mesh_config_key(mesh_settings()));
  if (!asked) co_return http::text_response(400, asked.error().text + "\n");
  if (!opened()) co_return http::text_response(503, (waiting_ ? waiting_() : "the configuration is not read yet") + "\n");
  std::string unseen;
  if (request.query("fresh") && catch_up_) {
    if (const Status done = co_await catch_up_(asked->object); !done) unseen = done.error().text;
  }
  co_return http::json_response(epochs_json(
      {.mesh = mesh_, .clients = xds_.clients(), .absent = absent(), .instance = instance_, .unseen = std::move(unseen)},
      *asked));
}

net::Task<Result<Caller>> Serving::prove(std::string authorization, Endpoint peer) {
  struct Answer {
    explicit Answer(net::Loop& loop) : here(loop) {}
    Result<Caller> caller = failure("not asked");
    net::Event here;
  };
  const auto answer = std::make_shared<Answer>(loop_);
  callers_->prove(authorization, peer.address, [answer](Result<Caller> caller) {
    answer->caller = std::move(caller);
    answer->here.set();
  });
  co_await answer->here.wait();
  co_return std::move(answer->caller);
}

// As istiod: whoever is on this machine, or proves to be an account of the mesh itself.
net::Task<std::optional<http::Response>> Serving::may_debug(http::Request request, Endpoint peer) {
  if (settings_.debug_on_localhost && peer.address.is_loopback()) co_return std::nullopt;
  if (!callers_) co_return http::text_response(503, "the configuration is not read yet: nobody can prove anything\n");
  const std::string path(request.path());
  const auto caller = co_await prove(std::string(request.headers.get("authorization").value_or("")), peer);
  if (!caller) {
    note_unproved(peer, path, caller.error().text);
    http::Response refused = http::text_response(401, "the token of an account of the mesh's own namespace is needed\n");
    refused.headers.add("WWW-Authenticate", "Bearer");
    co_return refused;
  }
  if (caller->operates) co_return std::nullopt;
  log::warn("debug", "refused a page to one that is none of the mesh's own",
            {log::field("caller", caller->text()), log::field("peer", peer.text()), log::field("path", path)});
  co_return http::text_response(403, caller->text() + " is no account of the mesh's own namespace\n");
}

}  // namespace culvert::controlplane
