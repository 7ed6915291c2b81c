#pragma once
// The kinds whose objects a proto describes: what the options of proto/culvert/schema.proto say of them, found by group and name. Made once, from
// descriptors; never changes. No generated header is needed to use this.

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "common/config/object.h"
#include "common/config/problem.h"

namespace google::protobuf {
class Descriptor;
class Message;
}  // namespace google::protobuf

namespace culvert::config {

struct CustomKind {
  Kind kind{};
  std::string group, name;               // "networking.istio.io", "VirtualService"
  std::string plural;                    // "virtualservices": what the API and RBAC call them
  std::vector<std::string> short_names;  // "vs"
  std::vector<std::string> versions;     // the first is what to write
  const google::protobuf::Descriptor* spec = nullptr;
  bool spec_required = false;
};

// All of them, PeerAuthentication and AuthorizationPolicy included, which are read by hand (read_policy.cc).
std::span<const CustomKind> custom_kinds();
// Null when there is none.
const CustomKind* find_kind(std::string_view group, std::string_view name);
const CustomKind* find_kind(Kind kind);

// As kubectl spells it: the kind, its plural or a short name, in any case, alone or with its group ("gateways.networking.istio.io"). Fails when no kind
// that we read is called that, or several are.
Result<Kind> kind_called(std::string_view word);

// Reads a text of its own, not of an object, into `message`: MeshConfig out of a ConfigMap. `place` is where it stands, `field` what it is called
// there; lines count from that place on. Answers what is wrong with it; then `message` is of no use.
std::vector<Problem> read_text(const Place& place, std::string_view object, std::string_view field, std::string_view text,
                               google::protobuf::Message& message);

}  // namespace culvert::config
