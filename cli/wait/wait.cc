#include "cli/wait/wait.h"

#include <algorithm>
#include <boost/json.hpp>
#include <cstdio>
#include <map>
#include <utility>

#include "cli/ask/page.h"
#include "cli/ask/plane.h"
#include "cli/wait/heard.h"
#include "common/base/format.h"
#include "common/config/kinds.h"
#include "common/net/timer.h"

namespace culvert::cli {
namespace {

namespace json = boost::json;
using State = Judgement::State;
using namespace std::chrono_literals;

constexpr int kCouldNotAsk = 1;
constexpr std::chrono::milliseconds kAnswer{10'000};
constexpr auto kLastAnswer = 1s;  // also when the time is up: who was asked last must be able to say who lags
constexpr std::chrono::milliseconds kLeastPause{10}, kMostPause{250};

// One culvertd that is asked again and again.
struct Asked {
  Target target;
  std::string instance;     // of whom `epoch` is
  std::uint64_t epoch = 0;  // everything up to here is waited for, where no object is named
  bool fresh = false;       // it has been made sure that it knows the last change
};

std::string path_for(const Asked& asked, const std::string& object) {
  std::string path = "/debug/epochs?";
  if (!object.empty()) path += "object=" + percent_encoded(object);
  else if (asked.fresh) path += culvert::format("epoch={}", asked.epoch);
  return path + (asked.fresh ? "" : "&fresh");
}

net::Task<Heard> ask(net::Loop& loop, Asked& asked, const std::string& object, std::chrono::milliseconds patience) {
  const std::string from = asked.target.text();
  const auto page = co_await get_page(loop, asked.target, path_for(asked, object), std::min(patience, kAnswer));
  auto heard = page ? Heard::read(from, *page) : std::unexpected(page.error());
  if (!heard) co_return Heard{.from = from, .error = heard.error().text};
  // A culvertd that began anew counts anew, and has to be made sure of again.
  const bool same = !asked.fresh || heard->instance == asked.instance;
  if (!same) {
    asked.fresh = false;
    co_return Heard{.from = from, .error = "it began anew"};
  }
  if (!asked.fresh && heard->unseen.empty()) {
    asked.fresh = true;
    asked.instance = heard->instance;
    asked.epoch = heard->epoch;
  }
  co_return std::move(*heard);
}

struct Outcome {
  Judgement judgement;
  std::vector<Heard> heard;
  std::string could_not_ask;
};

// `every`: `all` are every culvertd that the mesh has.
net::Task<Outcome> ask_until(net::Loop& loop, std::vector<Asked> all, bool every, std::string object,
                             std::chrono::milliseconds timeout) {
  const auto end = net::Clock::now() + timeout;
  const auto left = [end](std::chrono::milliseconds least) {
    return std::max(std::chrono::duration_cast<std::chrono::milliseconds>(end - net::Clock::now()), least);
  };
  bool first = true;
  for (auto pause = kLeastPause;; pause = std::min(pause * 2, kMostPause)) {
    Outcome outcome;
    for (Asked& asked : all) {
      outcome.heard.push_back(co_await ask(loop, asked, object, left(kLastAnswer)));
      if (first && !outcome.heard.back().error.empty()) {
        outcome.could_not_ask = outcome.heard.back().error;
        co_return outcome;
      }
    }
    first = false;
    outcome.judgement = judge(outcome.heard, every);
    if (outcome.judgement.state != State::kLagging || net::Clock::now() >= end) co_return outcome;
    co_await net::sleep_for(loop, std::min(pause, left(1ms)));
  }
}

std::string_view name(State state) {
  switch (state) {
    case State::kApplied: return "applied";
    case State::kUnknown: return "unknown";
    case State::kLagging: return "timed out";
    case State::kRefused: return "refused";
    case State::kInvalid: return "invalid";
  }
  return "?";
}

void print_json(const Outcome& outcome, const std::string& object) {
  const Judgement& judgement = outcome.judgement;
  const auto texts = [](const std::vector<std::string>& list) { return json::array(list.begin(), list.end()); };
  json::array asked;
  for (const Heard& heard : outcome.heard) {
    json::array nodes;
    for (const Heard::Node& node : heard.nodes) {
      json::object one{{"node", node.node}, {"proxy", node.proxy}, {"has", node.has}};
      if (!node.has) one["why"] = node.why;
      if (!node.has) one["refused"] = node.refused;
      nodes.push_back(std::move(one));
    }
    json::object one{{"culvertd", heard.from}, {"epoch", heard.epoch}, {"wanted", heard.wanted}, {"nodes", std::move(nodes)}};
    if (!heard.error.empty()) one["error"] = heard.error;
    asked.push_back(std::move(one));
  }
  const json::object out{{"object", object},
                         {"state", name(judgement.state)},
                         {"have", judgement.have},
                         {"connected", judgement.connected},
                         {"lacking", texts(judgement.lacking)},
                         {"notes", texts(judgement.notes)},
                         {"asked", std::move(asked)}};
  std::printf("%s\n", json::serialize(out).c_str());
}

void print_text(const Outcome& outcome, const std::string& object) {
  const Judgement& judgement = outcome.judgement;
  const std::string what = object.empty() ? "everything" : object;
  const std::string covered = culvert::format("{} of {} connected data planes ({} culvertd asked)", judgement.have,
                                              judgement.connected, outcome.heard.size());
  if (judgement.state == State::kApplied) {
    std::printf("%s: in force on %s\n", what.c_str(), covered.c_str());
  } else if (judgement.state == State::kUnknown) {
    std::fprintf(stderr, "culvert: %s: there is no such object\n", what.c_str());
  } else {
    std::fprintf(stderr, "culvert: %s: %s; in force on %s\n", what.c_str(), std::string(name(judgement.state)).c_str(),
                 covered.c_str());
  }
  for (const std::string& line : judgement.lacking) std::fprintf(stderr, "  %s\n", line.c_str());
  for (const std::string& line : judgement.notes) std::fprintf(stderr, "  note: %s\n", line.c_str());
}

int complain(const std::string& text) {
  std::fprintf(stderr, "culvert: %s\n", text.c_str());
  return kCouldNotAsk;
}

}  // namespace

Result<std::string> object_asked(const std::string& spelled, const std::string& name_space) {
  const auto first = spelled.find('/'), last = spelled.rfind('/');
  if (first == spelled.npos || first == 0 || last + 1 == spelled.size())
    return failure("\"" + spelled + "\" names no object (write KIND/NAME, as authorizationpolicy/deny-all, and -n NAMESPACE)");
  const auto kind = config::kind_called(spelled.substr(0, first));
  if (!kind) return std::unexpected(kind.error());
  const std::string word = spelled.substr(0, first), object = spelled.substr(last + 1);
  std::string its = first == last ? "" : spelled.substr(first + 1, last - first - 1);
  if (its.contains('/')) return failure("\"" + spelled + "\" has too many parts (write KIND/NAMESPACE/NAME)");
  if (!its.empty() && !name_space.empty() && its != name_space)
    return failure("\"" + spelled + "\" is in namespace " + its + ", and -n says " + name_space);
  if (!config::is_namespaced(*kind))
    return its.empty() ? Result<std::string>(word + "/" + object) : failure(word + " is in no namespace");
  if (its.empty()) its = name_space.empty() ? "default" : name_space;
  return word + "/" + its + "/" + object;
}

int wait(const WaitOptions& options) {
  std::string object;
  if (!options.object.empty()) {
    auto asked = object_asked(options.object, options.name_space);
    if (!asked) return complain(asked.error().text);
    object = std::move(*asked);
  }
  net::Loop loop;
  auto planes = planes_of(loop, options.planes);
  if (!planes) return complain(planes.error().text);
  std::vector<Asked> all;
  for (Plane& plane : *planes) all.push_back({.target = std::move(plane.target), .instance = {}});
  const Outcome outcome = loop.run(ask_until(loop, std::move(all), options.planes.whole_cluster(), object, options.timeout));
  if (!outcome.could_not_ask.empty()) return complain(outcome.could_not_ask);
  options.json ? print_json(outcome, object) : print_text(outcome, object);
  return static_cast<int>(outcome.judgement.state);
}

}  // namespace culvert::cli
