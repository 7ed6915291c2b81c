#include "common/kube/access.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <string>

#include "common/kube/credentials.h"
#include "common/kube/test_peer.h"

namespace culvert::kube {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::Not;

struct AccessTest : testing::Test {
  AccessTest() {
    scratch.write("ca.crt", peer_authority().certificate().pem());
    scratch.write("token", " secret-1\n");
  }
  Result<Access> pod(const std::string& host = "10.96.0.1", const std::string& port = "443") const {
    return Access::in_cluster({.folder = scratch.folder, .host = host, .port = port});
  }
  // With these lines of cluster c and user u.
  std::string config(const std::string& cluster, const std::string& user) const {
    return scratch.write("config",
                         "current-context: c\ncontexts: [{name: c, context: {cluster: c, user: u, namespace: shop}}]\n"
                         "clusters: [{name: c, cluster: {" +
                             cluster + "}}]\nusers: [{name: u, user: {" + user + "}}]\n");
  }
  std::string refused(const std::string& cluster, const std::string& user) const {
    auto access = Access::from_kubeconfig(config(cluster, user));
    return access ? "not refused" : access.error().text.substr(scratch.folder.size() + 1);
  }
  Result<Proof> proof(Access& access) { return loop.run(access.proof(loop)); }

  net::Loop loop;
  Scratch scratch;
};

TEST_F(AccessTest, APodFindsItsServerAndTakesItsTokenAnewWhenItChanges) {
  scratch.write("namespace", "istio-system\n");
  Access access = need(pod());
  EXPECT_EQ(access.server().authority(), "10.96.0.1:443");
  EXPECT_EQ(access.server().tls_name, "10.96.0.1");
  EXPECT_EQ(access.default_namespace(), "istio-system");
  const Proof first = need(proof(access));
  EXPECT_EQ(first.token, "secret-1");

  scratch.write("token.new", "secret-2");
  std::filesystem::rename(scratch.folder + "/token.new", scratch.folder + "/token");

  EXPECT_EQ(need(proof(access)).token, "secret-2");
  EXPECT_EQ(need(proof(access)).generation, first.generation);
  std::filesystem::remove(scratch.folder + "/token");
  EXPECT_EQ(need(proof(access)).token, "secret-2");  // what was read stays
  scratch.write("ca.crt", tls::Authority::make_root("other")->certificate().pem());
  EXPECT_NE(need(proof(access)).generation, first.generation);
}

TEST_F(AccessTest, AnAddressOfVersion6IsBracketed) {
  EXPECT_EQ(need(pod("fd00:10:96::1", "6443")).server().authority(), "[fd00:10:96::1]:6443");
}

TEST_F(AccessTest, APodWithoutWhatItNeedsSaysWhat) {
  EXPECT_THAT(pod("10.96.0.1", "https").error().text, HasSubstr("KUBERNETES_SERVICE_PORT is no port: https"));
  std::filesystem::remove(scratch.folder + "/token");
  EXPECT_THAT(pod().error().text, HasSubstr("/token: No such file or directory (does the pod have automountServiceAccountToken"));
  scratch.write("token", "secret\nX-Injected: yes");
  EXPECT_THAT(pod().error().text, testing::AllOf(HasSubstr("has characters in it"), Not(HasSubstr("secret"))));
  scratch.write("token", "");
  EXPECT_THAT(pod().error().text, HasSubstr("/token is empty"));
  scratch.write("token", "t");
  scratch.write("ca.crt", "no certificate");
  EXPECT_THAT(pod().error().text, HasSubstr("the API server's CA "));
}

TEST_F(AccessTest, AKubeconfigMayHaveEverythingInItOrInFilesBesideIt) {
  Access files = need(Access::from_kubeconfig(
      config("server: 'https://[fd00::1]:6443/k8s/', certificate-authority: ca.crt", "tokenFile: token")));
  EXPECT_EQ(files.server().authority(), "[fd00::1]:6443");
  EXPECT_EQ(files.server().prefix, "/k8s");
  EXPECT_EQ(files.default_namespace(), "shop");
  EXPECT_EQ(need(proof(files)).token, "secret-1");
  Access inside = need(Access::from_kubeconfig(
      config("server: 'https://api.test', certificate-authority: ca.crt, tls-server-name: x.test", "token: abc")));
  EXPECT_EQ(inside.server().authority(), "api.test:443");
  EXPECT_EQ(inside.server().tls_name, "x.test");
  EXPECT_EQ(need(proof(inside)).token, "abc");
}

TEST_F(AccessTest, AKubeconfigThatAsksForWhatIsNotSafeIsRefusedWithTheReason) {
  const std::string good = "server: 'https://a', certificate-authority: ca.crt";
  EXPECT_EQ(refused("server: 'http://a'", ""),
            "config: clusters[c].cluster.server: plain HTTP would show our credentials to everybody (use https)");
  EXPECT_EQ(refused(good + ", insecure-skip-tls-verify: true", ""),
            "config: clusters[c].cluster.insecure-skip-tls-verify: anybody could pose as the API server (name its "
            "certificate-authority)");
  EXPECT_EQ(refused(good + ", proxy-url: 'http://p'", ""),
            "config: clusters[c].cluster.proxy-url: going through a proxy is not supported");
  EXPECT_THAT(refused(good, "username: a, password: hush"), testing::AllOf(HasSubstr("username"), Not(HasSubstr("hush"))));
  EXPECT_THAT(refused(good, "auth-provider: {name: gcp}"), HasSubstr("auth-provider"));
  EXPECT_THAT(refused(good, "as: admin"), HasSubstr("acting as somebody else"));
  EXPECT_EQ(refused(good, "client-certificate: ca.crt"),
            "config: users[u].user.client-key: is missing, client-certificate needs it");
  EXPECT_EQ(refused("server: 'https://a', certificate-authority-data: '***'", ""),
            "config: clusters[c].cluster.certificate-authority-data: is not base64");
  EXPECT_THAT(refused("server: 'https://a:b'", ""), HasSubstr("has no port that can be"));
  EXPECT_THAT(refused("server: 'https://user@a'", ""), HasSubstr("has no host that can be"));
  EXPECT_THAT(refused("certificate-authority: ca.crt", ""), HasSubstr("server: is missing"));
  EXPECT_THAT(refused("server: 'https://a', certificate-authority: none.crt", ""), HasSubstr("No such file"));
}

TEST_F(AccessTest, AKubeconfigThatIsNoneSaysWhere) {
  EXPECT_THAT(Access::from_kubeconfig(scratch.folder + "/none").error().text,
              HasSubstr("No such file or directory (name a kubeconfig"));
  EXPECT_THAT(Access::from_kubeconfig(scratch.write("x", "a: [")).error().text, HasSubstr("is no YAML"));
  EXPECT_THAT(Access::from_kubeconfig(scratch.write("x", "[]")).error().text, HasSubstr("is no kubeconfig"));
  EXPECT_THAT(Access::from_kubeconfig(scratch.write("x", "a: b")).error().text, HasSubstr("current-context is not set"));
  EXPECT_THAT(Access::from_kubeconfig(config("server: 'https://a'", ""), "other").error().text,
              HasSubstr("there is no \"other\" in contexts (there are: c)"));
}

TEST_F(AccessTest, TheFirstOfSeveralKubeconfigsWins) {
  const std::string users = scratch.write("users", "users: [{name: u, user: {token: from-users}}]\n");
  const std::string rest = config("server: 'https://a', certificate-authority: ca.crt", "token: from-config");
  ::setenv("KUBECONFIG", (users + ":/nowhere:" + rest).c_str(), 1);
  auto access = Access::from_kubeconfig();
  ::unsetenv("KUBECONFIG");
  ASSERT_TRUE(access) << access.error().text;
  EXPECT_EQ(need(proof(*access)).token, "from-users");
}

struct PluginTest : AccessTest {
  // A plugin that counts its calls and prints `status`.
  Access with_plugin(const std::string& script) {
    ::chmod(scratch.write("plugin", "#!/bin/sh\n" + script + "\n").c_str(), 0755);
    return need(Access::from_kubeconfig(
        config("server: 'https://a', certificate-authority: ca.crt",
               "exec: {apiVersion: client.authentication.k8s.io/v1, command: ./plugin, args: [x], env: [{name: WHO, value: me}], "
               "interactiveMode: Never}")));
  }
};

TEST_F(PluginTest, PrintsATokenThatIsKeptUntilItExpires) {
  Access access = with_plugin(
      "cd ${0%/*}; echo x >> calls; n=$(wc -l < calls); year=2999; [ $n = 1 ] && year=2001\n"
      "[ \"$WHO$1\" = mex ] && [ -n \"$KUBERNETES_EXEC_INFO\" ] || exit 3\n"
      "echo '{\"apiVersion\":\"client.authentication.k8s.io/v1\",\"kind\":\"ExecCredential\",\"status\":{\"token\":\"t'$n'\","
      "\"expirationTimestamp\":\"'$year'-01-01T00:00:00Z\"}}'");
  auto first = proof(access);
  ASSERT_TRUE(first) << first.error().text;
  EXPECT_EQ(first->token, "t1");
  EXPECT_EQ(need(proof(access)).token, "t2");
  EXPECT_EQ(need(proof(access)).token, "t2");
  access.refused();
  EXPECT_EQ(need(proof(access)).token, "t3");
}

TEST_F(PluginTest, ThatFailsSaysHow) {
  Access exits = with_plugin("exit 7");
  EXPECT_THAT(proof(exits).error().text, HasSubstr("/plugin: exit status 7"));
  Access garbage = with_plugin("echo hush");
  EXPECT_THAT(proof(garbage).error().text, testing::AllOf(HasSubstr("no ExecCredential"), Not(HasSubstr("hush"))));
  std::filesystem::remove(scratch.folder + "/plugin");
  EXPECT_THAT(proof(garbage).error().text, HasSubstr("No such file or directory"));
  const auto slow = loop.run(run_plugin(loop, {.command = "sleep", .arguments = {"60"}}, 50ms));
  EXPECT_THAT(slow.error().text, HasSubstr("no answer within 50ms"));
  EXPECT_THAT(loop.run(run_plugin(loop, {.command = "yes"}, 10s)).error().text, HasSubstr("prints too much"));
}

TEST(PluginAnswer, IsATokenOrACertificateWithItsKey) {
  const auto read = [](const std::string& status) { return read_plugin_answer("{\"status\":{" + status + "}}"); };
  EXPECT_EQ(read(R"("token":"t","expirationTimestamp":"2026-01-01T01:00:00+01:00")")->expires,
            std::chrono::sys_days{std::chrono::year(2026) / 1 / 1});
  EXPECT_EQ(read(R"("token":"t","expirationTimestamp":"2026-01-01T00:00:00.5Z")")->expires,
            std::chrono::sys_days{std::chrono::year(2026) / 1 / 1});
  EXPECT_EQ(read(R"("clientCertificateData":"c","clientKeyData":"k")")->key, "k");
  EXPECT_FALSE(read(""));
  EXPECT_FALSE(read(R"("clientCertificateData":"c")"));
  EXPECT_FALSE(read(R"("token":"t","expirationTimestamp":"soon")"));
}

}  // namespace
}  // namespace culvert::kube
