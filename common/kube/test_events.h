#pragma once
// For tests: what an API server sends, and events as one line each.

#include <string>
#include <variant>
#include <vector>

#include "common/base/format.h"
#include "common/kube/event.h"

namespace culvert::kube {

// "+n/a 1@5", "-n/a 1", "synced", "!n/a why", "trouble: text", "recovered", "served in v1", "served in no version".
inline std::string text_of(const Event& event) {
  if (const auto* put = std::get_if<Put>(&event))
    return culvert::format("+{} {}@{}", put->key.text(), put->uid, put->resource_version);
  if (const auto* gone = std::get_if<Gone>(&event)) return culvert::format("-{} {}", gone->key.text(), gone->uid);
  if (const auto* skipped = std::get_if<Skipped>(&event)) return culvert::format("!{} {}", skipped->key.text(), skipped->why);
  if (const auto* trouble = std::get_if<Trouble>(&event)) return "trouble: " + trouble->text;
  if (const auto* served = std::get_if<Served>(&event))
    return "served in " + (served->version.empty() ? "no version" : served->version);
  return std::holds_alternative<Synced>(event) ? "synced" : "recovered";
}

inline std::string object(const std::string& name, const std::string& uid, const std::string& version = "",
                          const std::string& more = "") {
  return culvert::format(R"({{"metadata":{{"name":"{}","namespace":"n","uid":"{}","resourceVersion":"{}"}}{}}})", name, uid,
                         version.empty() ? uid : version, more);
}

inline std::string list_text(const std::vector<std::string>& items, const std::string& version, const std::string& next = "") {
  std::string text = culvert::format(
      R"({{"kind":"ServiceList","apiVersion":"v1","metadata":{{"resourceVersion":"{}","continue":"{}"}},"items":[)", version,
      next);
  for (std::size_t i = 0; i < items.size(); ++i) text += (i > 0 ? "," : "") + items[i];
  return text + "]}\n";
}

inline std::string event(const std::string& type, const std::string& object) {
  return culvert::format("{{\"type\":\"{}\",\"object\":{}}}\n", type, object);
}

}  // namespace culvert::kube
