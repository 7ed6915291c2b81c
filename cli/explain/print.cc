#include <boost/json.hpp>

#include "cli/explain/explain.h"
#include "common/base/format.h"

namespace culvert::cli {
namespace {

namespace json = boost::json;
using Via = model::Plan::Via;

std::string_view text_of(Answer answer) {
  return answer == Answer::kMay ? "allowed" : answer == Answer::kMayNot ? "refused" : "depends on the endpoint";
}

std::string called(const model::Workload& workload) {
  const std::string name = workload.name.empty() ? workload.uid : workload.name_space + "/" + workload.name;
  return name + (workload.node.empty() ? "" : " on " + workload.node);
}

std::string joined(const std::vector<Identity>& identities) {
  std::string out;
  for (const Identity& identity : identities) out += (out.empty() ? "" : " or ") + identity.uri();
  return out;
}

// Which policies have a say: those that admit() asks.
std::vector<std::string> dry_runs_of(const model::Route& route) {
  std::vector<std::string> out;
  if (!route.verdict) return out;
  for (const model::DryRun& run : route.verdict->dry_runs)
    out.push_back(culvert::format("{}, rule {}", run.policy->key(), run.rule + 1));
  return out;
}

std::string way_of(const model::Plan& plan) {
  if (plan.via == Via::kTunnel)
    return culvert::format("tunnel (HBONE, mutual TLS) to {}, for {}", plan.dial.text(), plan.target.text());
  return "plaintext to " + plan.dial.text();
}

std::string place_of(const KnownMesh& known, const model::Route& route) {
  if (!route.verdict || !route.verdict->policy) return "";
  const auto found = known.places.find(route.verdict->policy->key());
  return found == known.places.end() ? "" : found->second;
}

void add_route(const KnownMesh& known, const model::Workload& source, const model::Route& route, std::string& out) {
  const std::string answer = culvert::format("    {}: {}", route.allowed() ? "ALLOWED" : "REFUSED", route.text());
  if (!route.plan) {
    out += answer + "\n";
    return;
  }
  const model::Plan& plan = *route.plan;
  out += culvert::format("  - {}\n", plan.workload ? called(*plan.workload) : plan.dial.text() + " (not in the mesh)");
  out += "    way: " + way_of(plan) + "\n";
  if (plan.via == Via::kTunnel)
    out += culvert::format("    identity: {}, expecting {}\n", source.identity().uri(), joined(plan.expect));
  else out += "    identity: none\n";
  out += answer;
  if (const std::string place = place_of(known, route); !place.empty()) out += " (" + place + ")";
  out += "\n";
  for (const std::string& run : dry_runs_of(route)) out += "    dry run, not enforced: " + run + "\n";
}

json::object policy_json(const KnownMesh& known, const model::Route& route) {
  const model::Verdict& verdict = *route.verdict;
  json::object out{{"name", verdict.policy->key()},
                   {"action", verdict.policy->action == model::Policy::Action::kDeny ? "DENY" : "ALLOW"}};
  if (verdict.rule < verdict.policy->rules.size()) {
    out["rule"] = verdict.rule + 1;
    out["text"] = verdict.policy->rules[verdict.rule].text();
  }
  if (const std::string place = place_of(known, route); !place.empty()) out["place"] = place;
  return out;
}

json::object route_json(const KnownMesh& known, const model::Workload& source, const model::Route& route) {
  const Reason reason = !route.plan                             ? route.plan.error().reason
                        : route.refused.reason != Reason::kNone ? route.refused.reason
                        : route.verdict                         ? route.verdict->reason
                                                                : Reason::kNone;
  json::object out{{"allowed", route.allowed()}, {"reason", name(reason)}, {"text", route.text()}};
  if (!route.plan) return out;
  const model::Plan& plan = *route.plan;
  out["path"] = plan.via == Via::kTunnel ? "tunnel" : "plaintext";
  out["dial"] = plan.dial.text();
  out["arrives"] = route.arrives.text();
  if (plan.service) out["service"] = plan.service->key();
  if (plan.workload) out["workload"] = plan.workload->uid;
  if (plan.via == Via::kTunnel) {
    out["authority"] = plan.target.text();
    out["sourceIdentity"] = source.identity().uri();
    json::array expected;
    for (const Identity& identity : plan.expect) expected.emplace_back(identity.uri());
    out["expectedIdentities"] = std::move(expected);
  }
  out["judged"] = route.verdict.has_value();
  if (route.verdict && route.verdict->policy) out["policy"] = policy_json(known, route);
  if (route.verdict && !route.verdict->unknown.empty()) out["missingPolicy"] = route.verdict->unknown;
  json::array runs;
  for (const std::string& run : dry_runs_of(route)) runs.emplace_back(run);
  if (!runs.empty()) out["dryRuns"] = std::move(runs);
  return out;
}

}  // namespace

std::string text_of(const KnownMesh& known, const model::Workload& source, const std::vector<Explained>& all) {
  const bool in_mesh = source.protocol == model::TunnelProtocol::kHbone;
  std::string out = culvert::format("{}\nfrom: {}, {}\n", text_of(answer_of(all)), called(source),
                                    in_mesh ? source.identity().uri() : "outside the mesh: it proves no identity");
  for (const Explained& one : all) {
    out += culvert::format("to: {} ({})\n", one.destination.at.text(), one.destination.name);
    for (const model::Route& route : one.routes) add_route(known, source, route, out);
  }
  out += "by: " + known.from + "\n";
  for (const std::string& problem : known.problems) out += "cannot be read: " + problem + "\n";
  return out;
}

std::string json_of(const KnownMesh& known, const model::Workload& source, const std::vector<Explained>& all) {
  json::array destinations, problems;
  for (const Explained& one : all) {
    json::array routes;
    for (const model::Route& route : one.routes) routes.push_back(route_json(known, source, route));
    json::object to{{"address", one.destination.at.text()}, {"name", one.destination.name}};
    to["routes"] = std::move(routes);
    destinations.push_back(std::move(to));
  }
  for (const std::string& problem : known.problems) problems.emplace_back(problem);
  return json::serialize(json::object{{"answer", text_of(answer_of(all))},
                                      {"from",
                                       {{"uid", source.uid},
                                        {"inMesh", source.protocol == model::TunnelProtocol::kHbone},
                                        {"identity", source.identity().uri()}}},
                                      {"to", std::move(destinations)},
                                      {"by", known.from},
                                      {"problems", std::move(problems)}});
}

}  // namespace culvert::cli
