#include "cli/wait/heard.h"

#include <algorithm>
#include <boost/json.hpp>
#include <set>
#include <utility>

#include "cli/print/json.h"

namespace culvert::cli {
namespace {

namespace json = boost::json;
using print::flag_at;
using print::number_at;
using print::text_at;
using print::texts_at;

std::string called(const Heard::Node& node) { return node.node + (node.proxy.empty() ? "" : " (" + node.proxy + ")"); }

bool is_connected(const std::vector<Heard>& all, const std::string& node) {
  return std::ranges::any_of(all,
                             [&](const Heard& heard) { return std::ranges::contains(heard.nodes, node, &Heard::Node::node); });
}

// Nodes of which no data plane is connected anywhere.
void judge_absent(const std::vector<Heard>& all, bool every, Judgement& out) {
  const auto nodes = [&](std::vector<std::string> Heard::* which) {
    std::set<std::string> found;
    for (const Heard& heard : all)
      for (const std::string& node : heard.*which)
        if (!is_connected(all, node)) found.insert(node);
    return found;
  };
  const auto awaited = nodes(&Heard::awaited), ready = nodes(&Heard::ready);
  for (const std::string& node : nodes(&Heard::absent)) {
    if (awaited.contains(node))
      out.lacking.push_back(node + ": its data plane is not connected, and was a moment ago or may be in a moment");
    else if (every && ready.contains(node))
      out.lacking.push_back(node + ": its data plane is not connected, and serves by what it got before");
    else out.notes.push_back(node + ": its data plane is connected to none that was asked");
  }
}

// True when there is nothing to wait for, whatever the data planes say.
bool judge_object(const std::vector<Heard>& all, Judgement& out) {
  const bool known = std::ranges::any_of(all, [](const Heard& heard) { return heard.state != "unknown"; });
  for (const Heard& heard : all) {
    if (heard.state == "invalid") {
      out.state = Judgement::State::kInvalid;
      out.lacking.push_back("its newest version is not in force: " + heard.why);
      return true;
    }
    if (heard.state == "unknown" && known) out.lacking.push_back("culvertd at " + heard.from + " does not know it");
    if (!heard.enforced && out.notes.empty())
      out.notes.emplace_back("objects of this kind are valid and not enforced by this version");
    for (const std::string& doubt : heard.doubts)
      if (!std::ranges::contains(out.notes, doubt)) out.notes.push_back(doubt);
  }
  if (known) return false;
  out.state = Judgement::State::kUnknown;
  for (const std::string& broken : all.front().broken) out.notes.push_back("cannot be read: " + broken);
  return true;
}

}  // namespace

Result<Heard> Heard::read(std::string from, std::string_view text) {
  boost::system::error_code error;
  const json::value value = json::parse(text, error);
  const bool ours = !error && value.is_object() && value.as_object().contains("instance") &&
                    value.as_object().contains("nodes") && value.as_object().at("nodes").is_array();
  if (!ours) return failure(from + " answers something else than epochs (is it a culvertd, and of this version?)");
  const json::object& in = value.as_object();
  Heard out;
  out.from = std::move(from);
  out.instance = text_at(in, "instance");
  out.epoch = number_at(in, "epoch");
  out.wanted = number_at(in, "wanted");
  out.unseen = text_at(in, "unseen");
  out.absent = texts_at(in, "absent");
  out.awaited = texts_at(in, "awaited");
  out.ready = texts_at(in, "ready");
  if (const auto* object = in.if_contains("object"); object != nullptr && object->is_object()) {
    out.state = text_at(object->as_object(), "state");
    out.why = text_at(object->as_object(), "why");
    out.enforced = flag_at(object->as_object(), "enforced", true);
    out.doubts = texts_at(object->as_object(), "doubts");
    out.broken = texts_at(object->as_object(), "broken");
  }
  for (const auto& one : in.at("nodes").as_array()) {
    if (!one.is_object()) continue;
    const json::object& node = one.as_object();
    out.nodes.push_back({text_at(node, "node"), text_at(node, "proxy"), flag_at(node, "has", false),
                         flag_at(node, "refused", false), text_at(node, "why")});
  }
  return out;
}

Judgement judge(const std::vector<Heard>& all, bool every) {
  using State = Judgement::State;
  Judgement out;
  std::vector<std::string> refused;
  std::vector<Heard> answered;
  for (const Heard& heard : all) {
    if (heard.error.empty()) answered.push_back(heard);
    else out.lacking.push_back("culvertd at " + heard.from + " cannot be asked: " + heard.error);
    if (!heard.unseen.empty())
      out.lacking.push_back("culvertd at " + heard.from + " may not have seen the last change: " + heard.unseen);
  }
  const bool sure = out.lacking.empty() && !answered.empty();
  if (sure && judge_object(answered, out)) return out;
  for (const Heard& heard : answered) {
    for (const Heard::Node& node : heard.nodes) {
      ++out.connected;
      if (node.has) ++out.have;
      else (node.refused ? refused : out.lacking).push_back(called(node) + ": " + node.why);
    }
  }
  judge_absent(answered, every, out);
  if (out.connected == 0) out.lacking.emplace_back("no data plane is connected");
  if (out.lacking.empty()) out.state = refused.empty() ? State::kApplied : State::kRefused;
  out.lacking.insert(out.lacking.begin(), refused.begin(), refused.end());
  return out;
}

}  // namespace culvert::cli
