#include "cli/explain/words.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/explain/explain.h"

namespace culvert::cli {
namespace {

using testing::HasSubstr;

struct Words : testing::Test {
  Words() {
    add("shop", "web-0", "10.0.0.1");
    add("shop", "web-1", "10.0.0.2");
    add("shop", "db-0", "10.0.0.3", {{"shop/db.shop.svc.cluster.local", {}}});
    add("other", "job-0", "10.0.0.4");
    service("shop", "db", "10.96.0.1");
    service("other", "db", "10.96.0.2");
    service("shop", "headless", "");
    add("shop", "h-0", "10.0.0.5", {{"shop/headless.shop.svc.cluster.local", {}}});
    mesh = builder.build();
  }
  void add(const std::string& ns, const std::string& name, const std::string& address,
           std::map<std::string, model::PortMap> services = {}) {
    model::Workload workload;
    workload.uid = "c//Pod/" + ns + "/" + name, workload.name = name, workload.name_space = ns;
    workload.addresses = {*IpAddress::parse(address)};
    workload.protocol = model::TunnelProtocol::kHbone;
    workload.services = std::move(services);
    builder.upsert(std::move(workload));
  }
  void service(const std::string& ns, const std::string& name, const std::string& vip) {
    model::Service service;
    service.name = name, service.name_space = ns, service.hostname = name + "." + ns + ".svc.cluster.local";
    if (!vip.empty()) service.vips = {{"", *Cidr::parse(vip + "/32")}};
    service.ports = {{80, 8080}};
    builder.upsert(std::move(service));
  }
  std::string source(std::string_view word, const std::string& ns = "shop") const {
    const auto found = source_called(*mesh, word, ns);
    return found ? (*found)->name : found.error().text;
  }
  std::string destination(std::string_view word) const {
    const auto found = destinations_called(*mesh, *mesh->workload("c//Pod/shop/web-0"), word);
    if (!found) return found.error().text;
    std::string out;
    for (const Destination& one : *found) out += (out.empty() ? "" : " ") + one.at.text();
    return out;
  }

  model::MeshBuilder builder;
  std::shared_ptr<const model::Mesh> mesh;
};

TEST_F(Words, APodByNameByNamespaceByAddressOrByTheBeginning) {
  EXPECT_EQ(source("web-0"), "web-0");
  EXPECT_EQ(source("pod/web-1"), "web-1");
  EXPECT_EQ(source("other/job-0"), "job-0");
  EXPECT_EQ(source("10.0.0.4"), "job-0");
  EXPECT_EQ(source("db"), "db-0");
  EXPECT_THAT(source("web"), HasSubstr("several workloads are called \"web\": shop/web-0, shop/web-1"));
  EXPECT_THAT(source("job-0"), HasSubstr("is it other/job-0?"));
  EXPECT_THAT(source("10.9.9.9"), HasSubstr("no workload has the address"));
  EXPECT_THAT(source(""), HasSubstr("several"));
}

TEST_F(Words, ADestinationAsAResolverWouldFindIt) {
  for (const char* name :
       {"db:80", "db.shop:80", "db.shop.svc:80", "db.shop.svc.cluster.local:80", "db.shop.svc.cluster.local.:80"})
    EXPECT_EQ(destination(name), "10.96.0.1:80") << name;
  EXPECT_EQ(destination("db.other:80"), "10.96.0.2:80");
  EXPECT_EQ(destination("headless:80"), "10.0.0.5:80");
  EXPECT_EQ(destination("10.0.0.9:81"), "10.0.0.9:81");
  EXPECT_EQ(destination("pod/db-0:8080"), "10.0.0.3:8080");
  EXPECT_EQ(destination("pod/other/job-0:1"), "10.0.0.4:1");
  EXPECT_THAT(destination("nobody:80"), HasSubstr("is no service of the mesh"));
  EXPECT_THAT(destination("db"), HasSubstr("is not HOST:PORT"));
  EXPECT_THAT(destination("db:0"), HasSubstr("is not HOST:PORT"));
}

TEST_F(Words, TheAnswerNamesWayIdentityPolicyRuleAndPlace) {
  model::Policy policy{
      .name = "deny", .name_space = "shop", .scope = model::Policy::Scope::kNamespace, .action = model::Policy::Action::kDeny};
  policy.rules.resize(2);
  policy.rules[0].clauses.push_back({{model::Match{.destination_ports = {1}}}});
  policy.rules[1].clauses.push_back({{model::Match{.destination_ports = {8080}}}});
  builder.upsert(policy);
  const KnownMesh known{.mesh = builder.build(), .from = "folder /x", .places = {{"shop/deny", "p.yaml:3"}}};
  const model::Workload& source = *known.mesh->workload("c//Pod/shop/web-0");
  const auto at = destinations_called(*known.mesh, source, "db:80")->front();
  const std::vector<Explained> all = {{at, model::explain(*known.mesh, source, at.at)}};

  EXPECT_EQ(answer_of(all), Answer::kMayNot);
  EXPECT_EQ(text_of(known, source, all),
            "refused\nfrom: shop/web-0, spiffe://cluster.local/ns/shop/sa/default\n"
            "to: 10.96.0.1:80 (service shop/db.shop.svc.cluster.local)\n  - shop/db-0\n"
            "    way: tunnel (HBONE, mutual TLS) to 10.0.0.3:15008, for 10.0.0.3:8080\n"
            "    identity: spiffe://cluster.local/ns/shop/sa/default, expecting spiffe://cluster.local/ns/shop/sa/default\n"
            "    REFUSED: denied by policy shop/deny, rule 2: (ports [8080]) (p.yaml:3)\nby: folder /x\n");
  EXPECT_THAT(json_of(known, source, all),
              testing::AllOf(HasSubstr(R"x("policy":{"name":"shop/deny","action":"DENY","rule":2,"text":"(ports [8080])")x"),
                             HasSubstr(R"("place":"p.yaml:3")"), HasSubstr(R"("reason":"policy_denied")"),
                             HasSubstr(R"("path":"tunnel")")));
}

}  // namespace
}  // namespace culvert::cli
