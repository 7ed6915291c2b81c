#include "controlplane/status/board.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "common/config/kinds.h"

namespace culvert::controlplane {
namespace {

using config::Change;
using config::Key;
using config::Kind;

constexpr std::size_t kMostTrouble = 800;  // bytes

const std::vector<Kind>& routes() {
  static const std::vector<Kind> kRoutes = {Kind::kHttpRoute, Kind::kGrpcRoute, Kind::kTlsRoute, Kind::kTcpRoute};
  return kRoutes;
}

class Spread {
 public:
  Spread(const derive::Objects& objects, const derive::Settings& settings, Board::Touched& out)
      : objects_(objects), settings_(settings), out_(out.now), counts_(out.counts) {}

  void from(const Key& key) {
    if (config::has_status(key.kind)) out_.insert(key);
    switch (key.kind) {
      case Kind::kPod:
      case Kind::kWorkloadEntry: counted(key.name_space); break;
      case Kind::kPeerAuthentication:
        in(Kind::kPeerAuthentication, key.name_space);  // another one may count now
        break;
      case Kind::kNamespace: name_space(key.name); break;
      case Kind::kConfigMap: everything(); break;  // MeshConfig
      case Kind::kGatewayClass:
      case Kind::kGateway:
      case Kind::kListenerSet:
        gateways();
        all_routes();
        for (const Kind kind : {Kind::kService, Kind::kServiceEntry, Kind::kWorkloadEntry}) all(kind);  // their waypoint
        all(Kind::kAuthorizationPolicy);                                                                // targetRefs
        break;
      case Kind::kReferenceGrant:
        gateways();
        all_routes();
        break;
      case Kind::kService:
      case Kind::kServiceEntry:
        all_routes();
        all(Kind::kBackendTlsPolicy);
        in(Kind::kAuthorizationPolicy, key.name_space);
        if (key.kind == Kind::kServiceEntry) counted(key.name_space);  // its endpoints
        break;
      case Kind::kHttpRoute:
      case Kind::kGrpcRoute:
      case Kind::kTlsRoute:
      case Kind::kTcpRoute: gateways(); break;  // count their routes
      case Kind::kBackendTlsPolicy: in(Kind::kBackendTlsPolicy, key.name_space); break;
      default: break;
    }
  }

 private:
  void everything() {
    for (const config::CustomKind& kind : config::custom_kinds()) {
      if (config::has_status(kind.kind)) all(kind.kind);
    }
    all(Kind::kService);
  }

  // An object of a namespace changes often, its namespace hardly ever.
  void name_space(const std::string& name) {
    for (const config::CustomKind& kind : config::custom_kinds()) {
      if (config::has_status(kind.kind)) in(kind.kind, name);
    }
    in(Kind::kService, name);
    gateways();
    all_routes();
  }

  void counted(const std::string& name_space) {
    counts_of(name_space);
    counts_of(settings_.root_namespace);
  }
  void counts_of(const std::string& name_space) {
    if (!counted_.insert(name_space).second) return;
    for (const Kind kind : {Kind::kAuthorizationPolicy, Kind::kPeerAuthentication}) {
      for (const auto& [name, object] : objects_.in(kind, name_space)) counts_.insert({kind, name_space, std::string(name)});
    }
  }

  void gateways() {
    for (const Kind kind : {Kind::kGatewayClass, Kind::kGateway, Kind::kListenerSet}) all(kind);
  }
  void all_routes() {
    for (const Kind kind : routes()) all(kind);
  }

  void in(Kind kind, const std::string& name_space) {
    if (!seen_.insert({kind, name_space, ""}).second) return;
    for (const auto& [name, object] : objects_.in(kind, name_space)) out_.insert({kind, name_space, std::string(name)});
  }
  void all(Kind kind) {
    if (!seen_.insert({kind, "*", ""}).second) return;
    for (const std::string& name_space : objects_.namespaces(kind)) in(kind, name_space);
  }

  const derive::Objects& objects_;
  const derive::Settings& settings_;
  std::set<Key>& out_;
  std::set<Key>& counts_;
  std::set<Key> seen_;
  std::set<std::string> counted_;
};

}  // namespace

void Board::note(const config::Diff& diff) {
  for (const Change& change : diff.changes) {
    const Key& key = change.key;
    if (change.what == Change::What::kDelete) {
      standings_.erase(key);
      troubles_.erase(key);
    } else if (config::has_status(key.kind)) {
      if (change.standing.version.empty()) standings_.erase(key);
      else standings_[key] = change.standing;
      troubles_.erase(key);
    }
    changed_.insert(key);
  }
  for (const Change& change : diff.changes) {
    if (change.what != Change::What::kInvalid || !config::has_status(change.key.kind)) continue;
    std::string& text = troubles_[change.key];
    const std::string name = change.key.text();
    for (const config::Problem& problem : diff.problems) {
      if (problem.object != name || text.size() > kMostTrouble) continue;
      if (!text.empty()) text += "; ";
      text += (problem.field.empty() ? "" : problem.field + ": ") + problem.what;
      if (!problem.hint.empty()) text += " (" + problem.hint + ")";
    }
    if (text.empty()) text = "cannot be read";
  }
}

void Board::doubted(std::span<const Key> objects) {
  for (const Key& key : objects)
    if (config::has_status(key.kind)) doubted_.insert(key);
}

void Board::forget() {
  changed_.clear();
  doubted_.clear();
}

Board::Touched Board::take(const derive::Objects& objects, const derive::Settings& settings) {
  Touched out;
  Spread spread(objects, settings, out);
  for (const Key& key : std::exchange(changed_, {})) spread.from(key);
  out.now.merge(std::exchange(doubted_, {}));
  return out;
}

std::set<Key> Board::all() const {
  std::set<Key> out;
  for (const auto& [key, standing] : standings_) out.insert(key);
  return out;
}

const config::Standing* Board::standing(const Key& key) const {
  const auto found = standings_.find(key);
  return found == standings_.end() ? nullptr : &found->second;
}

void Board::written(const Key& key, const config::Standing& before, config::Standing after) {
  const auto found = standings_.find(key);
  if (found != standings_.end() && found->second.version == before.version) found->second = std::move(after);
}

const std::string& Board::trouble(const Key& key) const {
  static const std::string kNone;
  const auto found = troubles_.find(key);
  return found == troubles_.end() ? kNone : found->second;
}

}  // namespace culvert::controlplane
