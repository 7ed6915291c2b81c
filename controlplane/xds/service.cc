#include "controlplane/xds/service.h"

#include <time.h>

#include <algorithm>
#include <map>
#include <optional>
#include <utility>

#include "common/base/format.h"
#include "common/base/log.h"
#include "common/xds/wire.h"

namespace culvert::controlplane {
namespace {

constexpr std::string_view kScope = "xds";
constexpr int kInvalidArgument = 3;
constexpr int kResourceExhausted = 8;
constexpr int kUnauthenticated = 16;

// As istiod's dashboards know the types.
std::string metric_type(Type type) { return type == Type::kAuthorization ? "wads" : "wds"; }

double seconds_since(net::Clock::time_point begin) { return std::chrono::duration<double>(net::Clock::now() - begin).count(); }

Pace::Duration clock_of(clockid_t clock) {
  timespec now{};
  ::clock_gettime(clock, &now);
  return std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec);
}

// Of a text that somebody else wrote, not more than fits into a line; no character is cut in two.
std::string shown(std::string_view text) {
  if (text.size() <= XdsService::kMostLogged) return std::string(text);
  std::size_t end = XdsService::kMostLogged;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
  return culvert::format("{}... ({} bytes)", text.substr(0, end), text.size());
}

constexpr Type kAll[] = {Type::kAddress, Type::kAuthorization, Type::kWorkload};

}  // namespace

struct XdsService::Session {
  struct Sent {
    std::string nonce, acked;
    std::chrono::system_clock::time_point at{};
    std::string nacked;
    std::chrono::system_clock::time_point nacked_at{};
  };

  rpc::CallRef call;
  std::string node;
  std::string connection;
  xds::Node self = {};
  Stream stream = {};
  std::map<Type, Sent> sent = {};
  std::chrono::system_clock::time_point since = std::chrono::system_clock::now();
  std::optional<net::Clock::time_point> behind = {};  // since when it has not had everything
  // It waits for its turn, says what it holds, or has been answered and goes on.
  enum class Phase : std::uint8_t { kWaits, kBegins, kGoesOn };
  Phase phase = Phase::kWaits;
  net::Clock::time_point begun = {};
  bool sending = false;  // what it was sent is not on its way yet: it does not read
  bool again = false;    // there was something to send meanwhile
};

XdsService::XdsService(net::Loop& loop, const Snapshot& snapshot, telemetry::Registry& registry,
                       std::function<void(Epoch)> forget)
    : snapshot_(snapshot),
      registry_(registry),
      connected_(registry.gauge("pilot_xds", "Proxies connected by xDS.")),
      addresses_(counters(registry, Type::kAddress)),
      policies_(counters(registry, Type::kAuthorization)),
      expired_(registry.counter("pilot_xds_expired_nonce", "Answers to something else than the last response.")),
      unreadable_(registry.counter("pilot_total_xds_internal_errors", "Requests that cannot be read.")),
      converged_(registry, "pilot_proxy_convergence_time",
                 "Seconds from a change until a proxy had acknowledged everything: until it was in force there.",
                 {.001, .005, .01, .02, .05, .1, .5, 1, 3, 5, 10, 20, 30}),
      pushed_(registry, "pilot_xds_push_time", "Seconds to make the responses to one proxy and hand them on.",
              {.0001, .001, .01, .1, .5, 1, 3, 5, 10, 20, 30}),
      sizes_(registry, "pilot_xds_config_size_bytes", "Sizes of responses.", {1, 10000, 1000000, 4000000, 10000000, 40000000}),
      forget_(std::move(forget)),
      next_round_(loop),
      turn_(loop) {}

XdsService::Counters XdsService::counters(telemetry::Registry& registry, Type type) {
  const telemetry::Labels labels = {{"type", metric_type(type)}};
  return {registry.counter("pilot_xds_pushes", "Responses sent, by type.", labels),
          registry.counter("culvert_xds_resources_sent_total", "Resources sent, by type.", labels)};
}

XdsService::~XdsService() {
  for (const auto& session : sessions_) session->call->finish({.code = 14, .text = "shutting down"});
}

void XdsService::serve(rpc::CallRef call, std::string node) {
  const auto streams = std::ranges::count_if(sessions_, [&](const auto& session) { return session->node == node; });
  if (static_cast<std::size_t>(streams) >= kMostStreams) {
    if (const auto left_out = quiet_.say("streams " + node, net::Clock::now()))
      log::warn(kScope, "refused one more stream of a node",
                {log::field("node", node), log::field("streams", streams), log::field("not_logged_before", *left_out)});
    return call->finish({.code = kResourceExhausted, .text = "too many streams of this node"});
  }
  sessions_.push_back(std::make_unique<Session>(Session{std::move(call), std::move(node), "ID-" + std::to_string(++count_)}));
  connected_.set(static_cast<std::int64_t>(sessions_.size()));
  let_in();
}

// What is not read yet waits on the other side.
void XdsService::let_in() {
  using Phase = Session::Phase;
  const auto now = net::Clock::now();
  std::size_t begin = 0;
  for (const auto& session : sessions_) begin += session->phase == Phase::kBegins && now - session->begun < kTurn;
  bool wait = false;
  std::vector<Session*> next;
  for (const auto& session : sessions_) {
    if (session->phase != Phase::kWaits) continue;
    if (wait = begin + next.size() >= kMostBeginning; wait) break;
    next.push_back(session.get());
  }
  if (wait && !turn_.armed()) turn_.arm(kTurn, [this] { let_in(); });
  if (begin == 0 && next.empty()) snapshot_.drop_listings();
  for (Session* session : next) {
    session->phase = Phase::kBegins;
    session->begun = now;
  }
  for (Session* each : next) {
    Session& session = *each;
    session.call->accept({.on_message = [this, &session](std::string message) { received(session, std::move(message)); },
                          .on_sent = [this, &session] { sent(session); },
                          .on_end = [this, &session] { ended(session); }});
  }
}

void XdsService::received(Session& session, std::string message) {
  auto request = xds::decode_request(std::move(message));
  if (!request) return refuse(session, request.error().text, "the request cannot be read");
  if (session.self.id.empty() && !request->node.id.empty()) {
    session.self = request->node;
    log::info(kScope, "connected",
              {log::field("node", session.node), log::field("id", shown(session.self.id)),
               log::field("peer", session.call->peer().text())});
  }
  const std::string asked = request->type_url;
  const Stream::Heard heard = session.stream.receive(std::move(*request), snapshot_);
  if (heard.what == Stream::Heard::What::kUnknownType) {
    if (const auto left_out = quiet_.say("type " + session.node, net::Clock::now()))
      log::warn(kScope, "asks for a type that is not served",
                {log::field("node", session.node), log::field("type", shown(asked)), log::field("not_logged_before", *left_out)});
    return;  // as istiod: not answered
  }
  if (heard.what == Stream::Heard::What::kImpossible) return refuse(session, heard.error, heard.error);
  if (keeps_too_much(session)) return ended(session);
  said(session, heard);
  const bool begins = heard.what == Stream::Heard::What::kSubscription || heard.what == Stream::Heard::What::kHeld;
  if (round_waits_ && !begins) return note_current(session);  // that brings the rest
  pump(session);
  if (keeps_too_much(session)) ended(session);
}

// The session is no more.
void XdsService::refuse(Session& session, std::string_view why, std::string text) {
  unreadable_.add();
  if (const auto left_out = quiet_.say("unreadable " + session.node, net::Clock::now()))
    log::warn(kScope, culvert::format("a request cannot be read: {}", why),
              {log::field("node", session.node), log::field("not_logged_before", *left_out)});
  session.call->finish({.code = kInvalidArgument, .text = std::move(text)});
  ended(session);
}

void XdsService::said(Session& session, const Stream::Heard& heard) {
  using What = Stream::Heard::What;
  const bool answer = heard.what == What::kAck || heard.what == What::kNack;
  if (answer && !session.stream.beginning() && std::exchange(session.phase, Session::Phase::kGoesOn) == Session::Phase::kBegins)
    let_in();
  if (heard.what == What::kAck) session.sent[*heard.type].acked = session.sent[*heard.type].nonce;
  if (heard.what == What::kStale) expired_.add();
  if (heard.what != What::kNack) return;
  Session::Sent& refused = session.sent[*heard.type];
  refused.nacked = heard.error.substr(0, Refusals::kMostText);
  refused.nacked_at = std::chrono::system_clock::now();
  registry_.counter("pilot_total_xds_rejects", "Responses that a proxy refused.", {{"type", metric_type(*heard.type)}}).add();
  if (const auto left_out = quiet_.say("refusal " + session.node, net::Clock::now()))
    log::error(kScope, "a proxy refused resources, and keeps their last good version: " + shown(heard.error),
               {log::field("node", session.node), log::field("type", std::string(short_name(*heard.type))),
                log::field("not_logged_before", *left_out)});
}

// Before anything is made of what it asks for: then the caller has to end it.
bool XdsService::keeps_too_much(Session& session) {
  if (session.stream.kept() < kMostKept / kMostStreams) return false;  // then all of them together have no more
  std::size_t all = 0;
  for (const auto& other : sessions_)
    if (other->node == session.node) all += other->stream.kept();
  if (all <= kMostKept) return false;
  if (const auto left_out = quiet_.say("names " + session.node, net::Clock::now()))
    log::warn(kScope, "a node asks for too many names: its stream ends",
              {log::field("node", session.node), log::field("bytes", all), log::field("not_logged_before", *left_out)});
  session.call->finish({.code = kResourceExhausted, .text = "too many names are asked for"});
  return true;
}

// One response of each type waits here for a node that does not read, even if it answers what it has not seen.
void XdsService::sent(Session& session) {
  session.sending = false;
  if (std::exchange(session.again, false) && !round_waits_) pump(session);  // else that brings it
}

void XdsService::pump(Session& session) {
  if (session.sending) {
    session.again = true;
    return note_current(session);
  }
  const auto began = net::Clock::now();
  const std::vector<Push> pushes = session.stream.poll(snapshot_);
  for (const Push& push : pushes) {
    const Counters& counted = push.type == Type::kAuthorization ? policies_ : addresses_;
    counted.pushes.add();
    counted.resources.add(push.count());
    Session::Sent& sent = session.sent[push.type];
    sent.nonce = push.nonce;
    sent.at = std::chrono::system_clock::now();
    rpc::Pieces message = push.message();
    std::size_t size = 0;
    for (const auto& piece : message) size += piece->size();
    sizes_.add(static_cast<double>(size));
    session.call->send(std::move(message));
  }
  session.sending = !pushes.empty();
  if (!pushes.empty()) pushed_.add(seconds_since(began));
  note_current(session);
}

void XdsService::note_current(Session& session) {
  const bool current = session.stream.current(snapshot_);
  if (!current && !session.behind) session.behind = net::Clock::now();
  if (!current || !session.behind) return;
  converged_.add(seconds_since(*session.behind));
  session.behind.reset();
}

void XdsService::publish() {
  const auto wait = pace_.wait(clock_of(CLOCK_MONOTONIC), clock_of(CLOCK_PROCESS_CPUTIME_ID));
  if (wait == Pace::Duration::zero()) return round();
  round_waits_ = true;
  for (const auto& session : sessions_) note_current(*session);  // since when they lag
  next_round_.arm(std::chrono::duration_cast<net::Clock::duration>(wait), [this] { publish(); });
}

void XdsService::round() {
  round_waits_ = false;
  next_round_.cancel();
  pace_.begin(clock_of(CLOCK_MONOTONIC), clock_of(CLOCK_PROCESS_CPUTIME_ID));
  for (const auto& session : sessions_) pump(*session);
  forget_removals();
}

void XdsService::forget_removals() {
  Epoch known = snapshot_.epoch();
  for (const auto& session : sessions_) known = std::min(known, session->stream.sent(snapshot_));
  forget_(known);
}

void XdsService::ended(Session& session) {
  note_left(session.node);
  log::info(kScope, "disconnected", {log::field("node", session.node), log::field("id", shown(session.self.id))});
  std::erase_if(sessions_, [&](const auto& one) { return one.get() == &session; });
  connected_.set(static_cast<std::int64_t>(sessions_.size()));
  let_in();
}

void XdsService::check(const std::function<bool(const rpc::ServerCall& call, const std::string& node)>& still_proved) {
  std::erase_if(sessions_, [&](const auto& session) {
    if (still_proved(*session->call, session->node)) return false;
    log::warn(kScope, "the caller's proof is no longer valid: ended", {log::field("node", session->node)});
    note_left(session->node);
    session->call->finish({.code = kUnauthenticated, .text = "the proof is no longer valid"});
    return true;
  });
  connected_.set(static_cast<std::int64_t>(sessions_.size()));
}

void XdsService::note_left(const std::string& node) {
  const auto now = net::Clock::now();
  std::erase_if(left_, [&](const auto& one) { return now - one.second > kAway; });
  left_[node] = now;
}

std::map<std::string, net::Clock::time_point> XdsService::away() const {
  std::map<std::string, net::Clock::time_point> out = left_;
  const auto now = net::Clock::now();
  std::erase_if(out, [&](const auto& one) {
    return now - one.second > kAway ||
           std::ranges::any_of(sessions_, [&](const auto& session) { return session->node == one.first; });
  });
  return out;
}

std::vector<XdsService::Client> XdsService::clients() const {
  std::vector<Client> out;
  for (const auto& session : sessions_) {
    Client& client = out.emplace_back();
    client.node = session->node;
    client.connection = session->connection;
    client.peer = session->call->peer().text();
    client.self = session->self;
    client.since = session->since;
    client.current = session->stream.current(snapshot_);
    for (const Type type : kAll) {
      const Stream::Progress& progress = session->stream.progress(type);
      if (!progress.subscribed) continue;
      const auto sent = session->sent.find(type);
      const Session::Sent none;
      const Session::Sent& last = sent == session->sent.end() ? none : sent->second;
      client.channels.push_back({type, progress, last.nonce, last.acked, last.at, last.nacked, last.nacked_at});
    }
  }
  return out;
}

}  // namespace culvert::controlplane
