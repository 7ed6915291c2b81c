// The plugin from what the runtime says to what it hears, without the agent's socket.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "cni/json/text.h"
#include "cni/plugin/answer.h"
#include "cni/plugin/call.h"

namespace culvert::plugin {
namespace {

using testing::AllOf;
using testing::HasSubstr;

// As containerd 1.7 and the bridge plugin write it; the odd white space is to stay.
constexpr std::string_view kPrevious =
    R"({ "cniVersion":"1.0.0","interfaces":[{"name":"cni0","mac":"06:6a:4b:c9:51:e6"}, {"name":"eth0","sandbox":"/var/run/netns/cni-1"}],
 "ips":[{"interface":1,"address":"10.244.1.5/24","gateway":"10.244.1.1"},{"interface":1,"address":"fd00:10:244:1::5/64"}],"dns":{}, "x\u00e9": 1.50})";

using Variables = std::map<std::string, std::string>;

Variables variables(std::string command) {
  return {
      {"CNI_COMMAND", std::move(command)},
      {"CNI_CONTAINERID", "a3f0"},
      {"CNI_NETNS", "/var/run/netns/cni-1"},
      {"CNI_IFNAME", "eth0"},
      {"CNI_PATH", "/opt/cni/bin"},
      {"CNI_ARGS", "IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web-0;K8S_POD_INFRA_CONTAINER_ID=a3f0;K8S_POD_UID=9d2c"}};
}

std::string configuration(std::string_view version, std::string_view previous = kPrevious) {
  return std::string(R"({"cniVersion":")") + std::string(version) +
         R"(","name":"pods","type":"culvert-cni","agent_socket":"/run/a.sock","exclude_namespaces":["kube-system"],)"
         R"("own_namespace":"istio-system","own_pods":["ztunnel-","culvertd-"])" +
         (previous.empty() ? "" : ",\"prevResult\":" + std::string(previous)) + "}";
}

std::expected<Call, Failure> read(const Variables& variables, std::string_view input) {
  return read_call(
      [&](const char* name) -> std::optional<std::string> {
        const auto found = variables.find(name);
        return found == variables.end() ? std::nullopt : std::optional(found->second);
      },
      input);
}

Call call(std::string command, std::string_view version = "1.0.0", std::string_view name_space = "shop",
          std::string_view pod = "web-0") {
  auto its = variables(std::move(command));
  its["CNI_ARGS"] = std::string("K8S_POD_NAMESPACE=") + std::string(name_space) + ";K8S_POD_NAME=" + std::string(pod);
  auto read_one = read(its, configuration(version));
  EXPECT_TRUE(read_one) << read_one.error().message;
  return read_one.value_or(Call{});
}

const ask::Answer kEnrolled{.verdict = ask::Verdict::kEnrolled};
const ask::Answer kOutside{.verdict = ask::Verdict::kOutside, .why = "not labelled"};
const ask::Answer kRefusedAnswer{.verdict = ask::Verdict::kRefused, .why = "no ztunnel is connected"};
const Result<ask::Answer> kNobody = failure("connecting to /run/a.sock: No such file or directory");

TEST(Plugin, AsksAboutThePodThatTheRuntimeNames) {
  const auto added = read(variables("ADD"), configuration("1.0.0"));

  ASSERT_TRUE(added) << added.error().message;
  EXPECT_EQ(added->settings.agent_socket, "/run/a.sock");
  EXPECT_EQ(*question_of(*added), (ask::Question{.verb = ask::Verb::kAdd,
                                                 .name_space = "shop",
                                                 .pod = "web-0",
                                                 .uid = "9d2c",
                                                 .container = "a3f0",
                                                 .interface = "eth0",
                                                 .addresses = {"10.244.1.5", "fd00:10:244:1::5"}}));
}

TEST(Plugin, PassesThePreviousResultOnByteForByte) {
  for (const auto* version : {"0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"}) {
    const auto added = call("ADD", version);
    for (const auto& answer : {kEnrolled, kOutside}) {
      EXPECT_EQ(conclude(added, answer), (Outcome{.exit_code = 0, .output = std::string(kPrevious)})) << version;
    }
  }
}

TEST(Plugin, AnswersInTheVersionOfTheConflist) {
  for (const auto* version : {"0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"}) {
    const auto outcome = conclude(call("ADD", version), kRefusedAnswer);
    EXPECT_EQ(outcome.exit_code, 1);
    EXPECT_EQ(json::text_of(json::find(outcome.output, "cniVersion")), version);
    EXPECT_EQ(json::find(outcome.output, "code"), "11");
    EXPECT_EQ(json::text_of(json::find(outcome.output, "msg")),
              "culvert: pod shop/web-0 is not let start outside the mesh: no ztunnel is connected");
  }
}

TEST(Plugin, LetsNoPodStartThatNobodyVouchesFor) {
  const auto outcome = conclude(call("ADD"), kNobody);

  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_THAT(outcome.output,
              AllOf(HasSubstr("pod shop/web-0 does not start before culvert-node can say"),
                    HasSubstr("No such file or directory (is the DaemonSet culvert-node running on this node?)")));
}

TEST(Plugin, LetsPodsStartThatCannotBelongWithoutAsking) {
  const auto excluded = call("ADD", "1.0.0", "kube-system", "coredns-1");
  EXPECT_EQ(question_of(excluded), std::nullopt);

  auto of_podman = variables("ADD");
  of_podman.erase("CNI_ARGS");
  EXPECT_EQ(question_of(*read(of_podman, configuration("1.0.0"))), std::nullopt);
}

TEST(Plugin, LetsWhatTheMeshIsMadeOfStartBeforeIt) {
  const auto own = call("ADD", "1.0.0", "istio-system", "ztunnel-x7k2p");
  EXPECT_NE(question_of(own), std::nullopt);  // whoever can be asked is asked
  EXPECT_EQ(conclude(own, kNobody).exit_code, 0);
  EXPECT_EQ(conclude(own, kRefusedAnswer).exit_code, 1);

  EXPECT_EQ(conclude(call("ADD", "1.0.0", "istio-system", "prometheus-0"), kNobody).exit_code, 1);
  EXPECT_EQ(conclude(call("ADD", "1.0.0", "shop", "ztunnel-x7k2p"), kNobody).exit_code, 1);
}

TEST(Plugin, NeverKeepsAPodFromEnding) {
  for (const auto& answer : {Result<ask::Answer>(kOutside), Result<ask::Answer>(kRefusedAnswer), kNobody}) {
    EXPECT_EQ(conclude(call("DEL"), answer), Outcome{});
  }
  auto without = variables("DEL");
  without.erase("CNI_NETNS");
  EXPECT_TRUE(read(without, configuration("1.0.0", "")));
}

TEST(Plugin, ChecksWhatTheAgentSaysAndNothingElse) {
  EXPECT_EQ(conclude(call("CHECK"), kEnrolled), Outcome{});
  EXPECT_EQ(conclude(call("CHECK"), kNobody), Outcome{});  // a pod that runs goes on without an agent
  EXPECT_EQ(conclude(call("CHECK"), kRefusedAnswer).exit_code, 1);
}

TEST(Plugin, SaysWhetherPodsCouldStart) {
  EXPECT_EQ(question_of(call("STATUS", "1.1.0"))->verb, ask::Verb::kStatus);
  EXPECT_EQ(conclude(call("STATUS", "1.1.0"), kOutside), Outcome{});
  EXPECT_EQ(conclude(call("STATUS", "1.1.0"), kNobody), Outcome{});  // no reason to take a node's running pods away
  EXPECT_EQ(json::find(conclude(call("STATUS", "1.1.0"), kRefusedAnswer).output, "code"), "50");
}

TEST(Plugin, HasNothingToCollect) {
  const auto gc = call("GC", "1.1.0");

  EXPECT_EQ(question_of(gc), std::nullopt);
  EXPECT_EQ(conclude(gc, kOutside), Outcome{});
}

TEST(Plugin, TellsItsVersions) {
  const auto asked = read({{"CNI_COMMAND", "VERSION"}}, R"({"cniVersion":"0.4.0"})");

  EXPECT_EQ(conclude(*asked, kOutside).output,
            "{\"cniVersion\":\"0.4.0\",\"supportedVersions\":[\"0.3.0\",\"0.3.1\",\"0.4.0\",\"1.0.0\",\"1.1.0\"]}\n");
}

TEST(Plugin, RefusesVersionsThatItDoesNotSpeak) {
  for (const auto* version : {"", "0.2.0", "0.3.2", "1.2.0", "2.0.0"}) {
    EXPECT_EQ(read(variables("ADD"), configuration(version)).error().code, Failure::kVersion) << version;
  }
  EXPECT_EQ(read(variables("CHECK"), configuration("0.3.1")).error().code, Failure::kVersion);
  EXPECT_EQ(read(variables("STATUS"), configuration("1.0.0")).error().code, Failure::kVersion);
  EXPECT_EQ(read(variables("GC"), configuration("1.0.0")).error().code, Failure::kVersion);
}

TEST(Plugin, AnswersWithNothingWhereItIsCalledByItself) {
  const auto added =
      read(variables("ADD"), R"({"cniVersion":"0.4.0","name":"culvert-cni","type":"culvert-cni","standalone":true})");

  ASSERT_TRUE(added) << added.error().message;
  EXPECT_EQ(conclude(*added, kEnrolled).output, "{\"cniVersion\":\"0.4.0\"}\n");
}

TEST(Plugin, RefusesCallsThatLackSomething) {
  EXPECT_EQ(read({}, "{}").error().code, Failure::kEnvironment);
  for (const auto* name : {"CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"}) {
    auto without = variables("ADD");
    without.erase(name);
    EXPECT_THAT(read(without, configuration("1.0.0")).error().message, HasSubstr(name));
  }
  EXPECT_EQ(read(variables("ADD"), "{").error().code, Failure::kDecode);
  EXPECT_EQ(read(variables("ADD"), "[]").error().code, Failure::kDecode);
  EXPECT_EQ(read(variables("ADD"), configuration("1.0.0", "")).error().code, Failure::kNetwork);
  EXPECT_EQ(read(variables("ADD"), std::string(kMaxInput + 1, ' ')).error().code, Failure::kInput);
}

}  // namespace
}  // namespace culvert::plugin
