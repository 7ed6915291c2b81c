#include "common/derive/mark.h"

#include <google/protobuf/message.h>

#include <algorithm>
#include <optional>
#include <string_view>
#include <utility>

#include "common/derive/authorization.h"
#include "common/derive/delegate.h"
#include "common/derive/mesh_config.h"
#include "common/derive/network.h"
#include "common/derive/service.h"
#include "common/derive/waypoint.h"
#include "common/derive/workload.h"
#include "common/derive/workload_entry.h"
#include "proto/gateway/gateway.pb.h"
#include "proto/istio/networking/v1alpha3/service_entry.pb.h"
#include "proto/istio/networking/v1alpha3/workload_entry.pb.h"

namespace culvert::derive {
namespace {

using config::Key;
using config::Kind;
using config::Labels;
using config::value_of;
using istio::networking::v1alpha3::ServiceEntry;
using istio::networking::v1alpha3::WorkloadEntry;

template <class T>
const T* as(const config::Object* object) {
  return object ? std::get_if<T>(object) : nullptr;
}

class Marker {
 public:
  Marker(const Objects& objects, const Objects& seen, const Settings& settings, Dirty& dirty)
      : objects_(objects), seen_(seen), settings_(settings), dirty_(dirty) {}

  void mark(const Step& step) {
    dirty_.doubts.insert(step.key);
    switch (step.key.kind) {
      case Kind::kPod: return pod(step);
      case Kind::kWorkloadEntry: dirty_.workload_entries.insert(step.key); return;
      case Kind::kWorkloadGroup: return all_in(Kind::kWorkloadEntry, step.key.name_space);
      case Kind::kService: return service(step);
      case Kind::kServiceEntry: return service_entry(step);
      case Kind::kEndpointSlice: return slice(step);
      case Kind::kNamespace: return name_space(step);
      case Kind::kNode: return node(step);
      case Kind::kServiceAccount: return account(step.key);
      case Kind::kAuthorizationPolicy: return authorization(step);
      case Kind::kPeerAuthentication: return peer_authentication(step);
      case Kind::kGateway: return gateway(step.key);
      case Kind::kGatewayClass: return gateway_class(step.key);
      case Kind::kVirtualService: return virtual_service(step);
      default: return;  // nothing is derived from it
    }
  }

  void all() {
    dirty_.gateways = true;
    for (const auto& [name, object] : seen_.in(Kind::kNamespace, ""))
      dirty_.doubts.insert({Kind::kNamespace, "", std::string(name)});
    for (const Kind kind : {Kind::kPod, Kind::kWorkloadEntry, Kind::kEndpointSlice, Kind::kService, Kind::kServiceEntry})
      all_of(kind);
    for (const Kind kind : {Kind::kAuthorizationPolicy, Kind::kPeerAuthentication}) {
      for (const std::string& in : seen_.namespaces(kind)) {
        dirty_.policies.insert(in);
        for (const auto& [name, object] : seen_.in(kind, in)) dirty_.doubts.insert({kind, in, std::string(name)});
      }
    }
  }

 private:
  void pod(const Step& step) {
    dirty_.pods.insert(step.key);
    if (step.before && step.now) return;
    for (const std::string& service : objects_.wide(Kind::kService, step.key.name_space)) {
      for (const std::string& slice : objects_.slices_of(step.key.name_space, service))
        dirty_.doubts.insert({Kind::kEndpointSlice, step.key.name_space, slice});
    }
  }

  void service(const Step& step) {
    dirty_.services.insert(step.key);
    const std::string& in = step.key.name_space;
    bool wide = false;
    const auto* before = as<config::Service>(step.before);
    const auto* now = as<config::Service>(step.now);
    for (const auto* one : {before, now}) {
      if (!one) continue;
      wide |= one->selector.empty();
      if (one == before || !before || before->selector != now->selector) selected(in, one->selector);
      claims(in, hostname_of(one->metadata, settings_));
    }
    for (const Objects* where : {&objects_, &seen_}) {
      for (const std::string& name : where->slices_of(in, step.key.name)) {
        dirty_.slices.insert({Kind::kEndpointSlice, in, name});
        if (wide) named_by(where->find<config::EndpointSlice>(Kind::kEndpointSlice, in, name));
      }
    }
  }

  void slice(const Step& step) {
    dirty_.slices.insert(step.key);
    for (const auto* one : {as<config::EndpointSlice>(step.before), as<config::EndpointSlice>(step.now)}) {
      const auto* service = one ? objects_.find<config::Service>(Kind::kService, step.key.name_space, one->service) : nullptr;
      if (service && service->selector.empty()) named_by(one);
    }
  }

  // The pods that a slice names.
  void named_by(const config::EndpointSlice* slice) {
    if (!slice) return;
    for (const config::EndpointSlice::Endpoint& endpoint : slice->endpoints) {
      if (endpoint.target == config::EndpointSlice::Endpoint::Target::kPod)
        dirty_.pods.insert({Kind::kPod, slice->metadata.name_space, endpoint.pod});
    }
  }

  void name_space(const Step& step) {
    const auto* before = as<config::Namespace>(step.before);
    const auto* now = as<config::Namespace>(step.now);
    static const config::Shared<Labels> kNone;
    const bool labels = (before ? before->metadata.labels : kNone) != (now ? now->metadata.labels : kNone);
    const bool annotations = (before ? before->metadata.annotations : kNone) != (now ? now->metadata.annotations : kNone);
    const std::string& in = step.key.name;
    if (labels && in == settings_.system()) return all();  // the network of all
    if (!labels && !annotations) return;
    all_in(Kind::kService, in);
    all_in(Kind::kServiceEntry, in);
    if (!labels) return;
    all_in(Kind::kPod, in);
    all_in(Kind::kWorkloadEntry, in);
    if (settings_.entry_visibility.policies.empty()) return;
    for (const auto& [name, object] : seen_.in(Kind::kServiceEntry, in)) hosts_of(object.get());
  }

  void node(const Step& step) {
    const auto* before = as<config::Node>(step.before);
    const auto* now = as<config::Node>(step.now);
    if ((before ? locality_of(*before) : model::Locality{}) == (now ? locality_of(*now) : model::Locality{})) return;
    each(Kind::kPod, [&](const Key& key, const config::Object& object) {
      if (std::get<config::Pod>(object).spec.node_name == step.key.name) dirty_.pods.insert(key);
    });
  }

  void account(const Key& key) {
    for (const auto& [name, object] : seen_.in(Kind::kPod, key.name_space)) {
      if (std::get<config::Pod>(*object).spec.service_account == key.name)
        dirty_.doubts.insert({Kind::kPod, key.name_space, std::string(name)});
    }
    for (const auto& [name, object] : seen_.in(Kind::kWorkloadEntry, key.name_space))
      dirty_.doubts.insert({Kind::kWorkloadEntry, key.name_space, std::string(name)});
  }

  void authorization(const Step& step) {
    if (!policies_of(step.key)) return;
    const auto* before = as<config::AuthorizationPolicy>(step.before);
    const auto* now = as<config::AuthorizationPolicy>(step.now);
    // Workloads hold no more than its name.
    const auto named_where = [&](const config::AuthorizationPolicy* policy) {
      return policy && is_sent(*policy, settings_) ? policy->selector.get() : Labels{};
    };
    if (named_where(before) == named_where(now)) return;
    for (const auto* policy : {before, now}) {
      if (const Labels selector = named_where(policy); !selector.empty()) under(step.key.name_space, selector);
    }
  }

  void peer_authentication(const Step& step) {
    if (!policies_of(step.key)) return;
    const std::string& in = step.key.name_space;
    dirty_.policies.insert(settings_.root_namespace);  // where the static policy lives
    if (in == settings_.root_namespace) {
      for (const std::string& other : objects_.namespaces(Kind::kPeerAuthentication)) dirty_.policies.insert(other);
    }
    for (const auto& [name, object] : objects_.in(Kind::kPeerAuthentication, in))
      dirty_.doubts.insert({step.key.kind, in, std::string(name)});
    for (const auto* policy : {as<config::PeerAuthentication>(step.before), as<config::PeerAuthentication>(step.now)}) {
      if (policy) under(in, policy->selector);
    }
  }

  // False for one that is unreadable and may be any: the root namespace's denial stands for it.
  bool policies_of(const Key& key) {
    dirty_.policies.insert(key.name_space.empty() ? settings_.root_namespace : key.name_space);
    return !key.name_space.empty();
  }

  // Workloads that a policy of this namespace applies to: the root namespace's reaches all of them.
  void under(const std::string& in, const Labels& selector) {
    if (in != settings_.root_namespace) return selected(in, selector, true);
    std::set<std::string> everywhere;
    for (const Kind kind : {Kind::kPod, Kind::kWorkloadEntry, Kind::kServiceEntry}) {
      for (const std::string& other : seen_.namespaces(kind)) everywhere.insert(other);
    }
    for (const std::string& other : everywhere) selected(other, selector, true);
  }

  // Workloads of a namespace that a selector selects; an empty one those that have a policy's, all of them.
  void selected(const std::string& in, const Labels& selector, bool of_policy = false) {
    if (selector.empty() && !of_policy) return;
    const auto look = [&](Kind kind, std::set<Key>& out, auto labels) {
      for (const auto& [name, object] : seen_.in(kind, in))
        if (config::selects(selector, labels(*object))) out.insert({kind, in, std::string(name)});
    };
    const auto own = [](const config::Object& object) -> const Labels& { return config::metadata_of(object).labels; };
    look(Kind::kPod, dirty_.pods, own);
    look(Kind::kWorkloadEntry, dirty_.workload_entries,
         [](const config::Object& object) { return labelled(std::get<config::Custom>(object)).labels; });
    if (of_policy) look(Kind::kServiceEntry, dirty_.service_entries, own);
  }

  void service_entry(const Step& step) {
    dirty_.service_entries.insert(step.key);
    for (const config::Object* one : {step.before, step.now}) {
      if (one) entry(step.key.name_space, *one);
      hosts_of(one);
    }
  }

  // The workloads that an entry selects.
  void entry(const std::string& in, const config::Object& object) {
    const auto& labels = spec_of<ServiceEntry>(&object)->workload_selector().labels();
    selected(in, {labels.begin(), labels.end()});
  }

  void hosts_of(const config::Object* object) {
    const auto* spec = spec_of<ServiceEntry>(object);
    if (!spec) return;
    for (const std::string& host : std::set<std::string>(spec->hosts().begin(), spec->hosts().end()))
      claims(config::metadata_of(*object).name_space, host);
  }

  // Whose a host is may have changed: in its own namespace from one to the next, elsewhere which of them is canonical. Some more are told who has it
  // now; were there thousands, all of them for each of them would be too much.
  void claims(const std::string& in, const std::string& host) {
    constexpr std::size_t kMostTold = 16;
    for (const auto& [other, claims] : objects_.claims(host)) {
      std::size_t rank = 0;
      for (const Objects::Claim& claim : claims) {
        if (rank >= (other == in ? kMostTold : 1)) break;
        const Key key{Kind::kServiceEntry, other, claim.name};
        dirty_.service_entries.insert(key);
        if (other == in && rank < 2) entry(in, *object_of(key, objects_));
        ++rank;
      }
    }
  }

  void gateway(const Key& key) {
    const auto at = [&](const Objects& where) {
      const auto* gateway = where.find<config::Custom>(key.kind, key.name_space, key.name);
      return std::pair(gateway != nullptr, gateway ? waypoint_from(*gateway, where, settings_) : std::nullopt);
    };
    if (at(objects_) != at(seen_)) attached(key);
    const auto ways = [&](const Objects& where) {
      const auto* gateway = where.find<config::Custom>(key.kind, key.name_space, key.name);
      return gateway ? ways_of(*gateway) : std::vector<NetworkWay>{};
    };
    const auto now = ways(objects_), before = ways(seen_);
    if (now == before) return;
    dirty_.gateways = true;
    for (const auto* some : {&now, &before}) {
      if (!some->empty()) in_network(some->front().network);
    }
  }

  // Who is there, or may be.
  void in_network(const std::string& network) {
    const bool of_all = network == network_of_mesh(seen_, settings_);
    each(Kind::kPod, [&](const Key& key, const config::Object& object) {
      const auto own = value_of(config::metadata_of(object).labels, kNetworkLabel);
      if (own.empty() ? of_all : own == network) dirty_.pods.insert(key);
    });
    each(Kind::kWorkloadEntry, [&](const Key& key, const config::Object& object) {
      const std::string& own = spec_of<WorkloadEntry>(&object)->network();
      if (own.empty() ? of_all : own == network) dirty_.workload_entries.insert(key);
    });
    each(Kind::kServiceEntry, [&](const Key& key, const config::Object&) { dirty_.service_entries.insert(key); });
  }

  void gateway_class(const Key& key) {
    for (const Objects* where : {&objects_, &seen_}) {
      for (const std::string& in : where->namespaces(Kind::kGateway)) {
        for (const auto& [name, object] : where->in(Kind::kGateway, in)) {
          const auto* spec = spec_of<culvert::gateway::Gateway>(object.get());
          if (spec && spec->gateway_class_name() == key.name) mark({{Kind::kGateway, in, std::string(name)}, nullptr, nullptr});
        }
      }
    }
  }

  // Nothing is derived from it, and whoever leaves routes to it may have to say something else.
  void virtual_service(const Step& step) {
    if (alike_as_delegate(step.before, step.now)) return;
    const auto& roots = objects_.delegating_to(step.key);
    dirty_.doubts.insert(roots.begin(), roots.end());
  }

  // Whoever names this waypoint, by itself or by its namespace, and whoever is an instance of it.
  void attached(const Key& gateway) {
    std::set<std::string> inheriting;
    for (const auto& [name, object] : seen_.in(Kind::kNamespace, "")) {
      if (names(config::metadata_of(*object).labels, name, gateway)) inheriting.emplace(name);
    }
    for (const Kind kind : {Kind::kService, Kind::kServiceEntry, Kind::kPod, Kind::kWorkloadEntry}) {
      each(kind, [&](const Key& key, const config::Object& object) {
        const Labels& labels = config::metadata_of(object).labels;
        const bool own = key.name_space == gateway.name_space &&
                         (key.name == gateway.name || value_of(labels, "gateway.networking.k8s.io/gateway-name") == gateway.name);
        if (own || inheriting.contains(key.name_space) || names(labels, key.name_space, gateway) || inline_names(object, gateway))
          insert(key);
      });
    }
  }

  static bool names(const Labels& labels, std::string_view in, const Key& gateway) {
    for (const std::string_view label : {"istio.io/use-waypoint", "istio.io/use-waypoint-canary"}) {
      const auto where = value_of(labels, std::string(label) + "-namespace");
      if (value_of(labels, label) == gateway.name && (where.empty() ? in : where) == gateway.name_space) return true;
    }
    return false;
  }

  // The endpoints in a ServiceEntry and the spec of a WorkloadEntry have labels of their own.
  static bool inline_names(const config::Object& object, const Key& gateway) {
    const auto* custom = std::get_if<config::Custom>(&object);
    if (!custom) return false;
    if (custom->kind == Kind::kWorkloadEntry) return names(labelled(*custom).labels, custom->metadata.name_space, gateway);
    const auto* spec = spec_of<ServiceEntry>(&object);
    return spec && std::ranges::any_of(spec->endpoints(), [](const auto& endpoint) { return !endpoint.labels().empty(); });
  }

  template <class Visit>
  void each(Kind kind, Visit visit) const {
    for (const std::string& in : seen_.namespaces(kind))
      for (const auto& [name, object] : seen_.in(kind, in)) visit(Key{kind, in, std::string(name)}, *object);
  }

  void all_of(Kind kind) {
    for (const std::string& in : seen_.namespaces(kind)) all_in(kind, in);
  }
  void all_in(Kind kind, const std::string& in) {
    for (const auto& [name, object] : seen_.in(kind, in)) insert({kind, in, std::string(name)});
  }

  void insert(const Key& key) {
    switch (key.kind) {
      case Kind::kPod: dirty_.pods.insert(key); break;
      case Kind::kWorkloadEntry: dirty_.workload_entries.insert(key); break;
      case Kind::kService: dirty_.services.insert(key); break;
      case Kind::kServiceEntry: dirty_.service_entries.insert(key); break;
      case Kind::kEndpointSlice: dirty_.slices.insert(key); break;
      default: break;
    }
  }

  const Objects& objects_;
  const Objects& seen_;
  const Settings& settings_;
  Dirty& dirty_;
};

}  // namespace

void mark(const Step& step, const Objects& objects, const Objects& seen, const Settings& settings, Dirty& dirty) {
  Marker(objects, seen, settings, dirty).mark(step);
}

void mark_all(const Objects& seen, const Settings& settings, Dirty& dirty) { Marker(seen, seen, settings, dirty).all(); }

}  // namespace culvert::derive
