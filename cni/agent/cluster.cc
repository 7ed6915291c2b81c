#include "cni/agent/cluster.h"

namespace culvert::agent {

std::string_view name(Redirection redirection) {
  switch (redirection) {
    case Redirection::kNone: return "";
    case Redirection::kPending: return "pending";
    case Redirection::kEnabled: return "enabled";
  }
  return "";
}

}  // namespace culvert::agent
