#include "common/derive/unenforced.h"

#include <utility>

namespace culvert::derive {
namespace {

using config::AuthorizationPolicy;
using config::Kind;
using Texts = std::vector<std::string>;

void add(Texts& out, const std::string& where, std::initializer_list<std::pair<std::string_view, bool>> fields) {
  for (const auto& [name, there] : fields) {
    if (there) out.push_back(where + "." + std::string(name));
  }
}

void add_source(const AuthorizationPolicy::Source& source, const std::string& where, Texts& out) {
  add(out, where,
      {{"requestPrincipals", !source.request_principals.empty()},
       {"notRequestPrincipals", !source.not_request_principals.empty()},
       {"remoteIpBlocks", !source.remote_ip_blocks.empty()},
       {"notRemoteIpBlocks", !source.not_remote_ip_blocks.empty()},
       {"trustDomains", !source.trust_domains.empty()},
       {"notTrustDomains", !source.not_trust_domains.empty()}});
}

void add_operation(const AuthorizationPolicy::Operation& operation, const std::string& where, Texts& out) {
  add(out, where,
      {{"hosts", !operation.hosts.empty()},
       {"notHosts", !operation.not_hosts.empty()},
       {"methods", !operation.methods.empty()},
       {"notMethods", !operation.not_methods.empty()},
       {"paths", !operation.paths.empty()},
       {"notPaths", !operation.not_paths.empty()}});
}

// What authorization.cc reads of `when`.
bool is_read(std::string_view key) {
  return key == "source.ip" || key == "source.namespace" || key == "source.principal" || key == "source.serviceAccount" ||
         key == "destination.ip" || key == "destination.port";
}

Unenforced of(const AuthorizationPolicy& policy) {
  Unenforced out;
  if (!policy.target_refs.empty()) return {.all = true, .never = false, .fields = {"spec.targetRefs"}};
  if (policy.action == AuthorizationPolicy::Action::kAudit || policy.action == AuthorizationPolicy::Action::kCustom)
    return {.all = true, .never = false, .fields = {"spec.action"}};
  for (std::size_t i = 0; i < policy.rules.size(); ++i) {
    const AuthorizationPolicy::Rule& rule = policy.rules[i];
    const std::string where = "spec.rules[" + std::to_string(i) + "]";
    for (std::size_t j = 0; j < rule.from.size(); ++j)
      add_source(rule.from[j], where + ".from[" + std::to_string(j) + "].source", out.fields);
    for (std::size_t j = 0; j < rule.to.size(); ++j)
      add_operation(rule.to[j], where + ".to[" + std::to_string(j) + "].operation", out.fields);
    for (std::size_t j = 0; j < rule.when.size(); ++j) {
      if (!is_read(rule.when[j].key)) out.fields.push_back(where + ".when[" + std::to_string(j) + "].key");
    }
  }
  return out;
}

}  // namespace

Unenforced unenforced(const config::Object& object) {
  if (const auto* policy = std::get_if<AuthorizationPolicy>(&object)) return of(*policy);
  const Kind kind = config::kind_of(object);
  return {.all = config::is_custom(kind) && !derives_from(kind), .never = kind == Kind::kSidecar, .fields = {}};
}

}  // namespace culvert::derive
