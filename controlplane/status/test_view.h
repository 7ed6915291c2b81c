#pragma once
// For tests: objects out of YAML, as a source tells them, and a status as text.

#include <boost/json.hpp>
#include <string>
#include <vector>

#include "common/base/check.h"
#include "common/config/parse.h"
#include "common/derive/deriver.h"
#include "controlplane/status/decide.h"

namespace culvert::controlplane {

struct TestView {
  explicit TestView(const std::string& yaml) { put(yaml); }

  void put(const std::string& yaml) {
    config::Diff diff;
    const config::ParsedFile file = config::parse_yaml("f", yaml);
    for (const config::Parsed& parsed : file.objects) {
      const config::Key key = config::key_of(*parsed.object);
      diff.changes.push_back(
          {config::Change::What::kPut, key, parsed.object, parsed.place, {.generation = 2, .version = "1", .status = status}});
      objects.put(key, parsed.object);
    }
    for (const config::Broken& broken : file.broken) {
      CULVERT_CHECK(broken.key);
      diff.changes.push_back(
          {config::Change::What::kInvalid, *broken.key, nullptr, {}, {.generation = 2, .version = "1", .status = status}});
      diff.problems.insert(diff.problems.end(), broken.problems.begin(), broken.problems.end());
      objects.invalidate(*broken.key);
    }
    board.note(diff);
    std::vector<config::Key> keys;
    for (const config::Change& change : diff.changes) keys.push_back(change.key);
    board.doubted(deriver.update(objects, keys).doubted);
  }

  // "Type=True Reason: message", a line each; attachments and listeners indented below what they are of; "" when nothing is ours.
  std::string said(config::Kind kind, const std::string& name_space, const std::string& name) const {
    const auto wanted = wanted_of({kind, name_space, name}, {objects, settings, board, deriver.tally(), looked_at});
    if (!wanted) return "";
    std::string out = text(wanted->conditions, "");
    for (const Attachment& each : wanted->attachments)
      out += boost::json::serialize(each.to) + " " + each.controller + "\n" + text(each.conditions, "  ");
    if (wanted->listeners) {
      for (const ListenerState& each : *wanted->listeners)
        out += each.name + " " + std::to_string(each.attached) + " routes\n" + text(each.conditions, "  ");
    }
    for (const std::string& type : wanted->retired) out += "-" + type + "\n";
    return out;
  }

  static std::string text(const std::vector<Condition>& conditions, const std::string& indent) {
    std::string out;
    for (const Condition& each : conditions) {
      const char* is = each.is == Condition::Is::kTrue ? "True" : each.is == Condition::Is::kFalse ? "False" : "Unknown";
      out += indent + each.type + "=" + is + " " + each.reason + (each.message.empty() ? "" : ": " + each.message) + "\n";
    }
    return out;
  }

  derive::Objects objects;
  derive::Settings settings;
  derive::Deriver deriver{settings};
  Board board;
  mutable std::size_t looked_at = 0;  // objects, for what was said
  std::string status;                 // of what is put next
};

}  // namespace culvert::controlplane
