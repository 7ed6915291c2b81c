#include "controlplane/status/wanted.h"

#include <algorithm>
#include <utility>

namespace culvert::controlplane {
namespace {

namespace json = boost::json;

constexpr std::size_t kMostMessage = 1024;  // bytes; the Gateway API allows 32768 characters, nobody reads them
constexpr std::size_t kMostParents = 32, kMostAncestors = 16;

std::string text_at(const json::object& in, std::string_view name) {
  const auto* value = in.if_contains(name);
  return value != nullptr && value->is_string() ? std::string(value->as_string()) : std::string();
}

// A number, or a number in a string, as istiod writes it.
std::string number_at(const json::object& in, std::string_view name) {
  const auto* value = in.if_contains(name);
  if (value == nullptr) return "";
  return value->is_string() ? std::string(value->as_string()) : json::serialize(*value);
}

json::array array_at(const json::object& in, std::string_view name) {
  const auto* value = in.if_contains(name);
  return value != nullptr && value->is_array() ? value->as_array() : json::array();
}

std::string_view text(Condition::Is is) {
  switch (is) {
    case Condition::Is::kFalse: return "False";
    case Condition::Is::kTrue: return "True";
    case Condition::Is::kUnknown: break;
  }
  return "Unknown";
}

// Cut short between characters.
std::string cut(std::string message) {
  if (message.size() <= kMostMessage) return message;
  std::size_t end = kMostMessage;
  while (end > 0 && (static_cast<unsigned char>(message[end]) & 0xC0) == 0x80) --end;
  message.resize(end);
  return message + "…";
}

class Merge {
 public:
  Merge(std::int64_t generation, const std::string& now) : generation_(generation), now_(now) {}

  void conditions(json::array& held, const std::vector<Condition>& wanted) {
    for (const Condition& condition : wanted) {
      json::object* before = named(held, "type", condition.type);
      json::object made = make(condition, before);
      if (before == nullptr) {
        urgent_ = changed_ = true;
        held.push_back(std::move(made));
      } else if (*before != made) {
        *before = std::move(made);
      }
    }
  }

  void remove(json::array& held, const std::string& type) {
    const auto gone = [&](const json::value& one) { return one.is_object() && text_at(one.as_object(), "type") == type; };
    const auto* at = std::ranges::find_if(held, gone);
    if (at == held.end()) return;
    held.erase(at);
    urgent_ = changed_ = true;
  }

  void attachments(json::array& held, const std::vector<Attachment>& wanted, std::string_view ref, std::size_t most) {
    json::array out;
    std::vector<bool> placed(wanted.size(), false);
    for (json::value& one : held) {
      if (!is_ours(one)) {
        out.push_back(std::move(one));
        continue;
      }
      const auto found = std::ranges::find_if(wanted, [&](const Attachment& each) { return is(one.as_object(), each, ref); });
      const std::size_t index = static_cast<std::size_t>(found - wanted.begin());
      if (found == wanted.end() || placed[index]) {
        urgent_ = changed_ = true;  // goes
        continue;
      }
      placed[index] = true;
      out.push_back(attachment(*found, ref, array_at(one.as_object(), "conditions")));
    }
    for (std::size_t i = 0; i < wanted.size() && out.size() < most; ++i) {
      if (!placed[i]) out.push_back(attachment(wanted[i], ref, {}));
    }
    held = std::move(out);
  }

  void listeners(json::array& held, const std::vector<ListenerState>& wanted) {
    json::array out;
    for (const ListenerState& listener : wanted) {
      const json::object* before = named(held, "name", listener.name);
      json::array conditions_now = before != nullptr ? array_at(*before, "conditions") : json::array();
      conditions(conditions_now, listener.conditions);
      json::array kinds;
      for (const std::string& kind : listener.kinds)
        kinds.push_back(json::object{{"group", "gateway.networking.k8s.io"}, {"kind", kind}});
      out.push_back(json::object{{"name", listener.name},
                                 {"attachedRoutes", listener.attached},
                                 {"supportedKinds", std::move(kinds)},
                                 {"conditions", std::move(conditions_now)}});
    }
    if (held.size() != out.size()) urgent_ = true;
    if (held != out) changed_ = true;
    held = std::move(out);
  }

  bool changed() const { return changed_; }
  bool urgent() const { return urgent_; }

 private:
  static bool is_ours(const json::value& one) {
    const std::string who = one.is_object() ? text_at(one.as_object(), "controllerName") : "";
    return who == kMeshController || who == kGatewayController;
  }

  // The server may have filled in the group and kind that we left out, and the other way round.
  static bool is(const json::object& one, const Attachment& wanted, std::string_view ref) {
    const auto* value = one.if_contains(ref);
    if (value == nullptr || !value->is_object() || text_at(one, "controllerName") != wanted.controller) return false;
    const json::object& at = value->as_object();
    for (const std::string_view name : {"kind", "namespace", "name", "sectionName"}) {
      if (text_at(at, name) != text_at(wanted.to, name)) return false;
    }
    return number_at(at, "port") == number_at(wanted.to, "port");
  }

  static json::object* named(json::array& in, std::string_view field, std::string_view name) {
    for (json::value& one : in) {
      if (one.is_object() && text_at(one.as_object(), field) == name) return &one.as_object();
    }
    return nullptr;
  }

  json::object attachment(const Attachment& wanted, std::string_view ref, json::array held) {
    if (held.empty()) urgent_ = changed_ = true;
    conditions(held, wanted.conditions);
    return {{ref, wanted.to}, {"controllerName", wanted.controller}, {"conditions", std::move(held)}};
  }

  // As it is when it says the same; with the time at which its status changed.
  json::object make(const Condition& wanted, const json::object* before) {
    const std::string is(text(wanted.is)), message = cut(wanted.message);
    const bool same_status = before != nullptr && text_at(*before, "status") == is;
    const bool same_reason = same_status && text_at(*before, "reason") == wanted.reason &&
                             number_at(*before, "observedGeneration") == std::to_string(generation_);
    if (same_reason && text_at(*before, "message") == message) return *before;
    changed_ = true;
    urgent_ = urgent_ || !same_reason;
    std::string since = same_status ? text_at(*before, "lastTransitionTime") : now_;
    if (since.empty()) since = now_;
    json::object out{{"type", wanted.type}, {"status", is}, {"reason", wanted.reason}, {"message", message}};
    out["lastTransitionTime"] = since;
    out["observedGeneration"] = generation_;
    return out;
  }

  const std::int64_t generation_;
  const std::string& now_;
  bool changed_ = false;
  bool urgent_ = false;
};

}  // namespace

std::optional<Patch> patch_of(const Wanted& wanted, const config::Standing& standing, const std::string& now) {
  boost::system::error_code error;
  const json::value held = standing.status.empty() ? json::value(json::object()) : json::parse(standing.status, error);
  const json::object status = !error && held.is_object() ? held.as_object() : json::object();
  Patch patch;
  const auto part = [&](std::string_view name, const auto& change) {
    Merge merge(standing.generation, now);
    json::array list = array_at(status, name);
    change(merge, list);
    if (!merge.changed()) return;
    patch.status[name] = std::move(list);
    patch.urgent = patch.urgent || merge.urgent();
  };
  part("conditions", [&](Merge& merge, json::array& list) {
    merge.conditions(list, wanted.conditions);
    for (const std::string& type : wanted.retired) merge.remove(list, type);
  });
  if (!wanted.attached_as.empty()) {
    const bool parents = wanted.attached_as == "parents";
    part(wanted.attached_as, [&](Merge& merge, json::array& list) {
      merge.attachments(list, wanted.attachments, parents ? "parentRef" : "ancestorRef", parents ? kMostParents : kMostAncestors);
    });
  }
  if (wanted.listeners) part("listeners", [&](Merge& merge, json::array& list) { merge.listeners(list, *wanted.listeners); });
  if (patch.status.empty()) return std::nullopt;
  return patch;
}

}  // namespace culvert::controlplane
