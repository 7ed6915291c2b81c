#include "cni/agent/health.h"

#include <utility>

#include "common/base/format.h"

namespace culvert::agent {

void Health::failing(const std::string& who, std::string_view kind, std::string text) {
  failing_[who] = std::move(text);
  ++errors_[std::string(kind)];
}

void Health::recovered(const std::string& who) { failing_.erase(who); }

void Health::unready(const std::string& who, std::string text) {
  if (text.empty()) {
    unready_.erase(who);
  } else {
    unready_[who] = std::move(text);
  }
}

std::string Health::text() const {
  std::string out;
  for (const auto& [who, text] : unready_) out += culvert::format("not ready: {}: {}\n", who, text);
  for (const auto& [who, text] : failing_) out += culvert::format("failing: {}: {}\n", who, text);
  return out.empty() ? "ok\n" : out;
}

}  // namespace culvert::agent
