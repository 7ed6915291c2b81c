#include "common/kube/watch.h"

#include <algorithm>
#include <charconv>
#include <random>
#include <set>
#include <utility>

#include "common/base/check.h"
#include "common/base/format.h"
#include "common/base/secrets.h"
#include "common/kube/intake.h"
#include "common/net/timer.h"

namespace culvert::kube {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::size_t kMostExplanation = 64 * 1024;  // bytes of a refusal
constexpr seconds kMostRetryAfter{60};
constexpr seconds kGrace{30};     // for a watch to end by itself when its time is over
constexpr int kPiecesInARow = 8;  // before others have their turn
constexpr unsigned kMostDoublings = 16;

// How a list or a watch ended.
struct Outcome {
  enum class Kind : std::uint8_t {
    kDone,         // a list is whole; a watch ended in its time
    kLost,         // a watch that had lasted was cut
    kExpired,      // what we know is too old to go on from
    kMissing,      // the collection is not served
    kNoStreaming,  // the server does not know how to stream a list
    kTrouble,
  };
  using enum Kind;
  Kind kind = kDone;
  Trouble trouble = {};
  milliseconds wait{0};  // as the server asks for
};

Outcome trouble(Trouble::Kind kind, std::string text, milliseconds wait = {}) {
  return {.kind = Outcome::kTrouble, .trouble = {kind, std::move(text)}, .wait = wait};
}

// As priority and fairness sends it, without a Status. A date, which no API server writes, counts as nothing.
seconds retry_after(const http::Headers& headers) {
  unsigned count = 0;
  const auto text = headers.get("retry-after").value_or("");
  std::from_chars(text.data(), text.data() + text.size(), count);
  return seconds(count);
}

// An API server whose data was put back to an older state knows no version as new as ours.
bool is_too_new(std::string_view message) { return message.contains("Too large resource version"); }

}  // namespace

struct Watch::State {
  State(Client& its_client, WatchOptions its_options, Listener its_listener)
      : client(its_client),
        options(std::move(its_options)),
        listener(std::move(its_listener)),
        newest(options.of.version),
        told_version(newest),
        settling(client.loop()),
        intake(options.limits, [this](Event event) { tell(std::move(event)); }, options.secret) {}

  net::Task<> run();
  net::Task<Outcome> turn();
  net::Task<> look_for_newer();
  net::Task<Outcome> list();
  net::Task<Outcome> page(bool whole, std::string& from);
  net::Task<Outcome> follow(bool initial);
  net::Task<Outcome> read_watch(Client::Stream& stream, net::Clock::time_point until);
  net::Task<Outcome> refused(Client::Stream& stream, const Request& request, bool initial);
  Outcome watch_refused(bool initial);
  Outcome cut(Error error, bool initial);
  bool after(Outcome outcome, milliseconds& wait);
  void missing();
  std::string older_than(const std::string& version) const;
  bool try_older();
  void is_served(std::string_view version);
  void settle();
  void tell(Event&& event);
  Request request(std::string verb, Query query) const;
  milliseconds between(milliseconds least, milliseconds most);

  Client& client;
  WatchOptions options;
  Listener listener;
  const std::string newest;  // options.of has the version that is followed
  std::string told_version;  // empty: that there is none
  net::Timer settling;
  Intake intake;
  bool telling = false;
  bool lasting = false;  // the watch has settled
  bool missed = false;   // the collection was not served when last looked for
  bool paged = false;    // no more streaming
  unsigned expired = 0;  // lists that were needed since the last event
  unsigned failures = 0;
  std::set<Trouble::Kind> troubles;
  std::minstd_rand random{std::random_device{}()};
  net::Task<> life;
};

void Watch::State::tell(Event&& event) {
  telling = true;
  listener(std::move(event));
  telling = false;
}

Request Watch::State::request(std::string verb, Query query) const {
  if (!options.labels.empty()) query.emplace_back("labelSelector", options.labels);
  if (!options.fields.empty()) query.emplace_back("fieldSelector", options.fields);
  return {.verb = std::move(verb),
          .at = {.of = options.of, .ns = options.ns},
          .query = std::move(query),
          .secret = options.secret,
          .metadata = options.metadata};
}

milliseconds Watch::State::between(milliseconds least, milliseconds most) {
  return milliseconds(std::uniform_int_distribution<milliseconds::rep>(least.count(), std::max(least, most).count())(random));
}

net::Task<> Watch::State::run() {
  co_await client.loop().yield();  // nothing is told before the Watch is there
  for (;;) {
    milliseconds wait{0};
    Outcome outcome = co_await turn();
    settling.cancel();
    if (after(std::move(outcome), wait)) co_await net::sleep_for(client.loop(), wait);
    else co_await client.loop().yield();  // however soon a server ends its watches, others have their turn
  }
}

net::Task<Outcome> Watch::State::turn() {
  lasting = false;
  if (!intake.version().empty() && options.of.version != newest) co_await look_for_newer();
  if (!intake.version().empty()) co_return co_await follow(false);
  if (options.streaming && !paged) co_return co_await follow(true);
  co_return co_await list();
}

// Goes over to the newest version that is served; if there is none, what there is goes on.
net::Task<> Watch::State::look_for_newer() {
  for (std::string version = newest; version != options.of.version; version = older_than(version)) {
    Request asked = request("list", {{"limit", "1"}});
    asked.at.of.version = version;
    const auto stream = co_await client.open(asked);
    if (!stream || !is_success(stream->status())) continue;
    options.of.version = version;
    co_return intake.forget_version();
  }
}

// The next of the versions that we know; the newest after the last.
std::string Watch::State::older_than(const std::string& version) const {
  if (version == newest) return options.older.empty() ? newest : options.older.front();
  const auto next = std::next(std::ranges::find(options.older, version));
  return next == options.older.end() ? newest : *next;
}

// False when all of them have been looked for.
bool Watch::State::try_older() {
  options.of.version = older_than(options.of.version);
  return options.of.version != newest;
}

void Watch::State::is_served(std::string_view version) {
  if (std::exchange(told_version, version) != version) tell(Served{told_version});
}

// What comes next. True when that is a pause.
bool Watch::State::after(Outcome outcome, milliseconds& wait) {
  const unsigned doublings = std::min(failures + expired, kMostDoublings);
  const milliseconds pause = std::min(options.most, options.least * (1U << doublings));
  wait = std::max(between(pause / 2, pause), outcome.wait);
  switch (outcome.kind) {
    case Outcome::kDone: return false;
    case Outcome::kLost: break;
    case Outcome::kNoStreaming: paged = true; return false;
    case Outcome::kExpired: intake.forget_version(); return expired++ > 0;  // again, and nothing came in between
    case Outcome::kMissing:
      if (!intake.version().empty()) {  // a watch says so: what does a list say?
        intake.forget_version();
        options.of.version = newest;
        return expired++ > 0;
      }
      if (try_older()) return false;
      missing();
      wait = between(options.missing * 9 / 10, options.missing);
      return true;
    case Outcome::kTrouble:
      if (troubles.insert(outcome.trouble.kind).second) tell(std::move(outcome.trouble));
      break;
  }
  ++failures;
  return true;
}

// A server that is just starting, or is not the right one, may not know a collection which is there.
void Watch::State::missing() {
  if (intake.held() > 0 && !std::exchange(missed, true)) return;
  missed = true;
  is_served("");
  intake.begin_list();
  intake.end_list();
  settle();
}

// All is well.
void Watch::State::settle() {
  failures = 0;
  lasting = true;
  if (!std::exchange(troubles, {}).empty()) tell(Recovered{});
}

net::Task<Outcome> Watch::State::list() {
  bool whole = false;  // in one piece
  for (int tries = 0;;) {
    intake.begin_list();
    std::string from;
    Outcome outcome;
    do outcome = co_await page(whole, from);
    while (outcome.kind == Outcome::kDone && !from.empty());
    if (outcome.kind == Outcome::kExpired && !from.empty() && tries < 2) {
      whole = ++tries == 2;  // the list changes faster than we can turn its pages
      continue;
    }
    if (outcome.kind != Outcome::kDone) {
      intake.forget_version();
      co_return outcome;
    }
    missed = false;
    intake.end_list();
    settle();
    co_return outcome;
  }
}

// One page, from `from`; which becomes where the next begins.
net::Task<Outcome> Watch::State::page(bool whole, std::string& from) {
  Query query;
  if (!whole) query.emplace_back("limit", std::to_string(options.page));
  if (!from.empty()) query.emplace_back("continue", from);
  const Request asked = request("list", std::move(query));
  auto stream = co_await client.open(asked);
  if (!stream) co_return trouble(Trouble::kUnreachable, std::move(stream).error().text);
  if (!is_success(stream->status())) co_return co_await refused(*stream, asked, false);
  is_served(options.of.version);
  intake.begin_page();
  for (int pieces = 1;; ++pieces) {
    auto piece = co_await stream->next(options.silence);
    if (!piece) co_return trouble(Trouble::kUnreachable, std::move(piece).error().text);
    if (piece->empty()) break;
    const auto fed = intake.feed_page(*piece);
    if (options.secret) wipe(*piece);
    if (!fed) co_return trouble(Trouble::kGarbage, asked.text() + ": " + fed.error().text);
    if (pieces % kPiecesInARow == 0) co_await client.loop().yield();
  }
  auto next = intake.end_page();
  if (!next) co_return trouble(Trouble::kGarbage, asked.text() + ": " + next.error().text);
  from = std::move(*next);
  co_return Outcome{};
}

// A watch, which begins with all that there is or from where we are.
net::Task<Outcome> Watch::State::follow(bool initial) {
  const seconds least = options.of.version == newest ? options.watch_for : std::min(options.older_for, options.watch_for);
  const seconds lasts(std::max<seconds::rep>(1, between(least, least * 2).count() / 1000));
  Query query = {{"watch", "true"}, {"allowWatchBookmarks", "true"}, {"timeoutSeconds", std::to_string(lasts.count())}};
  if (initial) {
    query.emplace_back("sendInitialEvents", "true");
    query.emplace_back("resourceVersionMatch", "NotOlderThan");
  } else {
    query.emplace_back("resourceVersion", intake.version());
  }
  const Request asked = request("watch", std::move(query));
  auto stream = co_await client.open(asked);
  if (!stream) co_return trouble(Trouble::kUnreachable, std::move(stream).error().text);
  if (!is_success(stream->status())) co_return co_await refused(*stream, asked, initial);
  is_served(options.of.version);
  intake.begin_watch(initial);
  if (!initial) settling.arm(options.settled, [this] { settle(); });
  co_return co_await read_watch(*stream, net::Clock::now() + lasts + kGrace);
}

net::Task<Outcome> Watch::State::read_watch(Client::Stream& stream, net::Clock::time_point until) {
  const auto begun = net::Clock::now();
  for (int pieces = 1;; ++pieces) {
    const bool initial = intake.initial();
    const auto left = std::chrono::duration_cast<milliseconds>(until - net::Clock::now());
    auto piece = co_await stream.next(initial ? std::min(options.silence, left) : left);
    if (!piece) co_return cut(std::move(piece).error(), initial);
    if (piece->empty()) break;
    const std::size_t events = intake.events();
    const auto fed = intake.feed_watch(*piece);
    if (options.secret) wipe(*piece);
    if (!fed) co_return trouble(Trouble::kGarbage, request("watch", {}).text() + ": " + fed.error().text);
    if (intake.refused().code != 0) co_return watch_refused(intake.initial());
    if (!intake.initial() && intake.events() > events) {
      expired = 0;
      missed = false;
      settle();
    }
    if (pieces % kPiecesInARow == 0) co_await client.loop().yield();
  }
  if (intake.initial()) co_return trouble(Trouble::kServer, request("watch", {}).text() + ": ended before all objects were sent");
  // A server, or what stands between, that ends watches as soon as they begin is not to be asked in a circle.
  const bool at_once =
      intake.events() == 0 && net::Clock::now() - begun < std::min<net::Clock::duration>(options.settled, seconds(1));
  co_return Outcome{.kind = at_once ? Outcome::kLost : Outcome::kDone};
}

// A connection that ended under a watch. When it had worked, it is no trouble before the next one does not.
Outcome Watch::State::cut(Error error, bool initial) {
  if (initial && error.reason == Reason::kConnectTimeout) return {.kind = Outcome::kNoStreaming};  // never came to an end
  if (initial || !lasting) return trouble(Trouble::kUnreachable, std::move(error.text));
  return {.kind = Outcome::kLost};
}

// A status that is no success: what it means for us.
net::Task<Outcome> Watch::State::refused(Client::Stream& stream, const Request& asked, bool initial) {
  std::string body;
  while (body.size() < kMostExplanation) {
    auto piece = co_await stream.next(options.silence);
    if (!piece || piece->empty()) break;
    body += *piece;
  }
  const int status = stream.status();
  const Explanation said = explanation_of(body);
  if (status == 404) co_return Outcome{.kind = Outcome::kMissing};
  if (status == 410 || is_too_new(said.message)) co_return Outcome{.kind = Outcome::kExpired};
  std::string text = refusal(asked, status, body).text;
  if (status == 401 || status == 403) co_return trouble(Trouble::kRefused, std::move(text));
  const bool theirs = status == 429 || status >= 500 || status < 400;
  if (initial && !theirs) co_return Outcome{.kind = Outcome::kNoStreaming};
  const auto wait = std::max(seconds(said.retry_after), retry_after(stream.headers()));
  co_return trouble(Trouble::kServer, std::move(text), std::min(wait, kMostRetryAfter));
}

// An ERROR event in a watch.
Outcome Watch::State::watch_refused(bool initial) {
  const Explanation& said = intake.refused();
  if (said.code == 410 || said.reason == "Expired" || is_too_new(said.message)) return {.kind = Outcome::kExpired};
  if (initial && said.code / 100 == 4 && said.code != 429) return {.kind = Outcome::kNoStreaming};
  return trouble(Trouble::kServer,
                 culvert::format("{}: {} {}: {}", request("watch", {}).text(), said.code, said.reason, said.message),
                 std::min(seconds(said.retry_after), kMostRetryAfter));
}

Watch::Watch(Client& client, WatchOptions options, Listener listener)
    : state_(std::make_unique<State>(client, std::move(options), std::move(listener))) {
  state_->life = state_->run();
  state_->life.start();
}

Watch::~Watch() { CULVERT_CHECK(!state_->telling); }

const Collection& Watch::of() const { return state_->options.of; }
bool Watch::synced() const { return state_->intake.synced(); }
std::size_t Watch::held() const { return state_->intake.held(); }
std::optional<std::string> Watch::version_of(const Key& key) const { return state_->intake.version_of(key); }

}  // namespace culvert::kube
