#include "common/derive/peer_authentication.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <string>

#include "common/model/admit.h"

namespace culvert::derive {
namespace {

using config::PeerAuthentication;
using Mode = PeerAuthentication::Mode;

constexpr std::optional<Mode> kModes[] = {std::nullopt, Mode::kUnset, Mode::kDisable, Mode::kPermissive, Mode::kStrict};
constexpr std::uint16_t kPort = 80, kOther = 81;

std::string text(std::optional<Mode> mode) {
  constexpr const char* kNames[] = {"UNSET", "DISABLE", "PERMISSIVE", "STRICT"};
  return mode ? kNames[static_cast<int>(*mode)] : "none";
}

// What stands in the mesh's, the namespace's and the pod's own policy, and there for the port; none: no such policy.
struct Case {
  std::optional<Mode> mesh, name_space, own, port;

  std::string text() const {
    using derive::text;
    return "mesh " + text(mesh) + ", namespace " + text(name_space) + ", own " + text(own) + ", port " + text(port);
  }

  // As the specification says it: the first that sets a mode decides.
  bool strict(bool on_the_port) const {
    for (const std::optional<Mode>& mode : {on_the_port ? port : std::nullopt, own, name_space, mesh}) {
      if (mode && *mode != Mode::kUnset) return *mode == Mode::kStrict;
    }
    return false;
  }
};

struct Mesh {
  explicit Mesh(const Case& of) {
    pod.metadata.name = "w";
    pod.metadata.name_space = "shop";
    pod.metadata.labels = {{"app", "web"}};
    if (of.mesh) put("istio-system", "mesh", *of.mesh);
    if (of.name_space) put("shop", "all", *of.name_space);
    if (!of.own) return;
    PeerAuthentication own;
    own.selector = {{"app", "web"}};
    if (of.port) own.ports[kPort] = *of.port;
    put("shop", "own", *of.own, own);
  }

  void put(const std::string& name_space, const std::string& name, Mode mode, PeerAuthentication policy = {}) {
    policy.metadata.name = name;
    policy.metadata.name_space = name_space;
    policy.mode = mode;
    objects.put({config::Kind::kPeerAuthentication, name_space, name}, std::make_shared<const config::Object>(policy));
  }

  // Everything that is sent, by key.
  std::map<std::string, model::Policy> sent() const {
    std::map<std::string, model::Policy> out;
    const auto add = [&out](std::optional<model::Policy> policy) {
      if (policy) out.emplace(policy->key(), std::move(*policy));
    };
    add(static_strict_policy(objects, {}));
    for (const auto& [name, object] : objects.in(config::Kind::kPeerAuthentication, "shop"))
      add(convert(std::get<PeerAuthentication>(*object), objects, {}));
    return out;
  }

  bool refuses(const std::optional<Identity>& identity, std::uint16_t port) const {
    const model::Peer peer{.identity = identity, .source = *IpAddress::parse("10.0.0.9")};
    const model::Subject subject(peer, {*IpAddress::parse("10.0.0.1"), port});
    const auto policies = sent();
    return std::ranges::any_of(peer_authentication_policies(pod.metadata, objects, {}), [&](const std::string& name) {
      return std::ranges::any_of(policies.at(name).rules, [&](const model::Rule& rule) { return model::matches(rule, subject); });
    });
  }

  Objects objects;
  config::Pod pod;
};

TEST(PeerAuthentication, EveryCombinationRefusesPlaintextWhereItIsStrictAndNothingElse) {
  int cases = 0;
  for (const auto mesh : kModes) {
    for (const auto name_space : kModes) {
      for (const auto own : kModes) {
        for (const auto port : kModes) {
          if (port && !own) continue;  // a port's mode stands in a policy with a selector
          const Case one{mesh, name_space, own, port};
          const Mesh world(one);
          EXPECT_EQ(world.refuses(std::nullopt, kPort), one.strict(true)) << one.text() << ": the port";
          EXPECT_EQ(world.refuses(std::nullopt, kOther), one.strict(false)) << one.text() << ": another port";
          EXPECT_FALSE(world.refuses(Identity{"cluster.local", "a", "b"}, kPort)) << one.text();
          ++cases;
        }
      }
    }
  }
  EXPECT_EQ(cases, 5 * 5 * (1 + 4 * 5));
}

}  // namespace
}  // namespace culvert::derive
