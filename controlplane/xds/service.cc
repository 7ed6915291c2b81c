#include "controlplane/xds/service.h"

#include <algorithm>
#include <utility>

#include "common/base/log.h"
#include "common/xds/wire.h"

namespace culvert::controlplane {
namespace {

constexpr std::string_view kScope = "xds";
constexpr int kInvalidArgument = 3;
constexpr int kResourceExhausted = 8;
constexpr int kUnauthenticated = 16;

constexpr Type kAll[] = {Type::kAddress, Type::kAuthorization, Type::kWorkload};

}  // namespace

struct XdsService::Session {
  rpc::CallRef call;
  std::string node;
  std::string id;
  Stream stream;
};

XdsService::XdsService(const Snapshot& snapshot, telemetry::Registry& registry, std::function<void(Epoch)> forget)
    : snapshot_(snapshot),
      registry_(registry),
      connected_(registry.gauge("pilot_xds", "Proxies connected by xDS.")),
      forget_(std::move(forget)) {}

XdsService::~XdsService() {
  for (const auto& session : sessions_) session->call->finish({.code = 14, .text = "shutting down"});
}

void XdsService::serve(rpc::CallRef call, std::string node) {
  const auto streams = std::ranges::count_if(sessions_, [&](const auto& session) { return session->node == node; });
  if (static_cast<std::size_t>(streams) >= kMostStreams) {
    log::warn(kScope, "refused one more stream of a node", {log::field("node", node), log::field("streams", streams)});
    return call->finish({.code = kResourceExhausted, .text = "too many streams of this node"});
  }
  sessions_.push_back(std::make_unique<Session>(Session{std::move(call), std::move(node), "", {}}));
  Session& session = *sessions_.back();
  connected_.set(static_cast<std::int64_t>(sessions_.size()));
  session.call->accept({.on_message = [this, &session](const std::string& message) { received(session, message); },
                        .on_sent = {},
                        .on_end = [this, &session] { ended(session); }});
}

void XdsService::received(Session& session, const std::string& message) {
  const auto request = xds::decode_request(message);
  if (!request) {
    log::warn(kScope, "a request cannot be read: " + request.error().text, {log::field("node", session.node)});
    session.call->finish({.code = kInvalidArgument, .text = "the request cannot be read"});
    return ended(session);
  }
  if (session.id.empty() && !request->node.id.empty()) {
    session.id = request->node.id;
    log::info(kScope, "connected",
              {log::field("node", session.node), log::field("id", session.id), log::field("peer", session.call->peer())});
  }
  const Stream::Heard heard = session.stream.receive(*request);
  if (heard.what == Stream::Heard::What::kUnknownType) {
    log::warn(kScope, "asks for a type that is not served",
              {log::field("node", session.node), log::field("type", request->type_url)});
    return;  // as istiod: not answered
  }
  if (heard.what == Stream::Heard::What::kNack) {
    registry_
        .counter("pilot_total_xds_rejects", "Responses that a proxy refused.", {{"type", std::string(short_name(*heard.type))}})
        .add();
    log::error(kScope, "a proxy refused resources, and keeps their last good version: " + heard.error,
               {log::field("node", session.node), log::field("type", short_name(*heard.type).data())});
  }
  pump(session);
}

void XdsService::pump(Session& session) {
  for (const Push& push : session.stream.poll(snapshot_)) {
    registry_.counter("pilot_xds_pushes", "Responses sent, by type.", {{"type", std::string(short_name(push.type))}}).add();
    registry_
        .counter("culvert_xds_resources_sent_total", "Resources sent, by type.", {{"type", std::string(short_name(push.type))}})
        .add(push.resources.size());
    session.call->send(xds::encode_response(type_url(push.type), push.nonce, push.resources, push.removed));
  }
}

void XdsService::publish() {
  for (const auto& session : sessions_) pump(*session);
  forget_removals();
}

void XdsService::forget_removals() {
  Epoch known = snapshot_.epoch();
  for (const auto& session : sessions_) known = std::min(known, session->stream.sent(snapshot_));
  forget_(known);
}

void XdsService::ended(Session& session) {
  log::info(kScope, "disconnected", {log::field("node", session.node), log::field("id", session.id)});
  std::erase_if(sessions_, [&](const auto& one) { return one.get() == &session; });
  connected_.set(static_cast<std::int64_t>(sessions_.size()));
}

void XdsService::check(const std::function<bool(const rpc::ServerCall& call, const std::string& node)>& still_proved) {
  std::erase_if(sessions_, [&](const auto& session) {
    if (still_proved(*session->call, session->node)) return false;
    log::warn(kScope, "the caller's token is no longer valid: ended", {log::field("node", session->node)});
    session->call->finish({.code = kUnauthenticated, .text = "the token is no longer valid"});
    return true;
  });
  connected_.set(static_cast<std::int64_t>(sessions_.size()));
}

std::vector<XdsService::Row> XdsService::rows() const {
  std::vector<Row> out;
  for (const auto& session : sessions_) {
    for (const Type type : kAll) {
      const Stream::Progress& progress = session->stream.progress(type);
      if (!progress.subscribed) continue;
      out.push_back({session->node, session->id, session->call->peer(), type, progress, session->stream.current(snapshot_)});
    }
  }
  return out;
}

}  // namespace culvert::controlplane
