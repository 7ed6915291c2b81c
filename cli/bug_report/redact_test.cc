#include "cli/bug_report/redact.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "common/base/base64.h"

namespace culvert::cli {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr const char* kKey = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEE+KEY/BYTES==\n-----END EC PRIVATE KEY-----\n";
constexpr const char* kToken = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJrdWJlcm5ldGVzIn0.c2lnbmF0dXJl-_x";

TEST(WithoutSecrets, KeysAndTokensAreTakenOutWhereverTheyStand) {
  EXPECT_EQ(without_secrets(std::string("a\n") + kKey + "b"), "a\n[removed: private key]\nb");
  EXPECT_EQ(without_secrets("-----BEGIN PRIVATE KEY-----\nMHcCAQ and then it was cut"), "[removed: private key]");
  EXPECT_EQ(without_secrets(R"({"tls.key":"-----BEGIN PRIVATE KEY-----\nMHc\n-----END PRIVATE KEY-----\n","x":1})"),
            R"({"tls.key":"[removed: private key]\n","x":1})");
  EXPECT_EQ(without_secrets("key: " + to_base64(kKey) + "\nnext"), "key: [removed: private key]\nnext");
  std::string wrapped = to_base64(kKey);
  for (std::size_t at = 64; at < wrapped.size(); at += 65) wrapped.insert(at, "\n");
  EXPECT_EQ(without_secrets(wrapped + "\n"), "[removed: private key]\n");
  EXPECT_EQ(without_secrets(std::string("got ") + kToken + ", once"), "got [removed: token], once");
  EXPECT_EQ(without_secrets(std::string("Authorization: Bearer ") + kToken), "Authorization: Bearer [removed: token]");
  EXPECT_EQ(without_secrets("authorization: bearer abcdef123456.x"), "authorization: bearer [removed: token]");
  EXPECT_EQ(without_secrets("Authorization: Basic " + to_base64("user:hunter2")), "Authorization: Basic [removed: token]");
}

TEST(WithoutSecrets, WhatIsAssignedToASecretsNameIsTakenOut) {
  EXPECT_EQ(without_secrets("password=hunter2 user=x"), "password=[removed] user=x");
  EXPECT_EQ(without_secrets("DB_PASSWORD: hunter2\nX: y"), "DB_PASSWORD: [removed]\nX: y");
  EXPECT_EQ(without_secrets(R"({"clientSecret": "hunter 2", "a": 1})"), R"({"clientSecret": "[removed]", "a": 1})");
  EXPECT_EQ(without_secrets(R"("{\"api-key\":\"hunter2\",\"b\":1}")"), R"("{\"api-key\":\"[removed]\",\"b\":1}")");
  EXPECT_EQ(without_secrets(R"({"password": "a\"b, c", "d": 1})"), R"({"password": "[removed]", "d": 1})");
  EXPECT_EQ(without_secrets("password: 'a \"b\"' # c"), "password: '[removed]' # c");
  EXPECT_EQ(without_secrets(R"({"password":"","d":1,"e":"f"})"), R"({"password":"","d":1,"e":"f"})");
  EXPECT_EQ(without_secrets(R"({"password": "cut off)"), R"({"password": "[removed])");
  EXPECT_EQ(without_secrets("run --token hunter2 --verbose"), "run --token [removed] --verbose");
  EXPECT_EQ(without_secrets("postgres://app:hunter2@db:5432/x"), "postgres://app:[removed]@db:5432/x");
}

TEST(WithoutSecrets, TheRestStaysAsItIs) {
  for (const char* text : {"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n", "secretName: web-tls",
                           "automountServiceAccountToken: false", "tokenFile=/x token: /var/run/secrets/tokens/istio-token",
                           "the token is expired", "a basic example of everything", "http://10.0.0.1:15014/metrics",
                           "spiffe://cluster.local/ns/a/sa/b", "2026-11-20T10:00:00.000000Z\tinfo\taccess\tdst.addr=10.0.0.1:80",
                           "eyJhbGciOiJSUzI1NiJ9 alone", "\"token\": {\"a\": 1}", "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCk1JSUI="})
    EXPECT_EQ(without_secrets(text), text);
}

TEST(WithoutSecrets, ALongTextTakesItsLengthInTime) {
  std::string text;
  for (int i = 0; i < 200'000; ++i) text += "aLS0b-eyJ.eyJ:// token ";
  EXPECT_EQ(without_secrets(text).size(), text.size());
}

boost::json::object pod(const char* name_space) {
  return boost::json::
      parse(R"({"metadata":{"name":"web","namespace":")" + std::string(name_space) +
            R"(","managedFields":[{"manager":"x"}],"annotations":{"kubectl.kubernetes.io/last-applied-configuration":"{hunter2}","a":"b"}},
    "spec":{"nodeName":"n1","volumes":[{"name":"v"}],"containers":[{"name":"c","image":"i","ports":[{"containerPort":80}],
      "command":["run","--api-key","hunter2","-v"],"env":[{"name":"DB_PASSWORD","value":"hunter2"},{"name":"NODE_NAME","value":"n1"}],
      "readinessProbe":{"httpGet":{"path":"/","port":80,"httpHeaders":[{"name":"X","value":"hunter2"}]},"exec":{"command":["hunter2"]}}}]},
    "status":{"podIP":"10.0.0.1"}})")
          .as_object();
}

TEST(StripObject, OfOthersPodsOnlyWhatTheMeshReadsIsKept) {
  auto object = pod("shop");

  strip_object(object, "pods", "istio-system");

  const std::string text = boost::json::serialize(object);
  EXPECT_THAT(text, Not(HasSubstr("hunter2")));
  EXPECT_THAT(text, Not(HasSubstr("managedFields")));
  EXPECT_EQ(boost::json::serialize(object["spec"]),
            R"({"nodeName":"n1","containers":[{"name":"c","image":"i","ports":[{"containerPort":80}],)"
            R"("readinessProbe":{"httpGet":{"path":"/","port":80}}}]})");
  EXPECT_THAT(text, HasSubstr(R"("status":{"podIP":"10.0.0.1"})"));
}

TEST(StripObject, OfOurOwnEverythingButSecretsIsKept) {
  auto object = pod("istio-system");

  strip_object(object, "pods", "istio-system");

  const std::string text = boost::json::serialize(object);
  EXPECT_THAT(text, HasSubstr(R"("command":["run","--api-key","[removed]","-v"])"));
  EXPECT_THAT(text, HasSubstr(R"({"name":"DB_PASSWORD","value":"[removed]"},{"name":"NODE_NAME","value":"n1"})"));
  EXPECT_THAT(text, HasSubstr(R"("volumes")"));
}

}  // namespace
}  // namespace culvert::cli
