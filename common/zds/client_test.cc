#include "common/zds/client.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace culvert::zds {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::IsEmpty;

const Client::Time kStart{};
const auto kOk = encode_ack("");

// A client whose namespaces are told apart by the number that the test says.
class ZdsClient : public testing::Test {
 protected:
  void SetUp() override { EXPECT_EQ(client_.connected(), encode_hello()); }

  Result<Client::Step> add(std::string uid, std::uint64_t inode = 1) {
    inode_ = inode;
    std::vector<Fd> descriptors;
    descriptors.emplace_back(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    return client_.received(*encode(Add{{.uid = std::move(uid), .name = "p", .name_space = "n", .service_account = "s"}}),
                            std::move(descriptors));
  }
  Result<Client::Step> say(const Request& request) { return client_.received(*encode(request), {}); }
  void run(std::string uid) {
    const auto step = add(uid);
    ASSERT_TRUE(step && step->start);
    ASSERT_EQ(client_.started(uid, step->start->generation, "", kStart), kOk);
  }

  std::uint64_t inode_ = 0;
  Client client_{[this](int) { return inode_; }};
};

TEST_F(ZdsClient, StartsAPodAndAnswersWhenItRuns) {
  const auto step = add("a");

  ASSERT_TRUE(step && step->start);
  EXPECT_EQ(step->reply, "");
  EXPECT_TRUE(step->start->netns != nullptr);
  EXPECT_FALSE(step->start->replaces);
  EXPECT_EQ(client_.started("a", step->start->generation, "", kStart), kOk);
}

TEST_F(ZdsClient, IsReadyOnceTheSnapshotIsInAndAllRuns) {
  EXPECT_EQ(client_.pending(), "waiting for the node agent's snapshot");
  run("a");
  EXPECT_FALSE(client_.ready());

  EXPECT_EQ(say(SnapshotSent{})->reply, kOk);

  EXPECT_TRUE(client_.ready());
}

TEST_F(ZdsClient, AnswersAFailedStartWithItsErrorAndTriesAgainAfterFiveSeconds) {
  const auto step = add("a");
  EXPECT_EQ(*decode_ack(client_.started("a", step->start->generation, "no listener", kStart)), "no listener");
  ASSERT_TRUE(say(SnapshotSent{}));
  EXPECT_EQ(client_.pending(), "1 pods pending (n/p: no listener)");
  EXPECT_EQ(client_.deadline(), kStart + 5s);
  EXPECT_FALSE(client_.retry(kStart + 4s));

  const auto again = client_.retry(kStart + 5s);

  ASSERT_TRUE(again && again->netns);
  EXPECT_FALSE(client_.retry(kStart + 5s));
  EXPECT_EQ(client_.started("a", again->generation, "", kStart + 5s), "");  // nobody waits for this answer
  EXPECT_TRUE(client_.ready());
  EXPECT_FALSE(client_.deadline());
}

TEST_F(ZdsClient, TakesTheSamePodAgainWithoutTouchingIt) {
  run("a");

  const auto step = add("a");

  EXPECT_FALSE(step->start);
  EXPECT_EQ(step->reply, kOk);
}

TEST_F(ZdsClient, ReplacesAPodThatCameBackInAnotherNamespace) {
  run("a");

  const auto step = add("a", 2);

  ASSERT_TRUE(step && step->start);
  EXPECT_TRUE(step->start->replaces);
}

TEST_F(ZdsClient, IgnoresTheEndOfAStartThatWasReplaced) {
  const auto first = add("a")->start->generation;
  client_.disconnected();
  client_.connected();
  const auto second = add("a", 2);

  EXPECT_EQ(client_.started("a", first, "", kStart), "");
  EXPECT_EQ(client_.started("a", second->start->generation, "", kStart), kOk);
}

TEST_F(ZdsClient, AnswersTheNewConnectionWithAStartThatTheOldOneBegan) {
  const auto first = add("a")->start->generation;
  client_.disconnected();
  client_.connected();

  const auto step = add("a");

  EXPECT_FALSE(step->start);
  EXPECT_EQ(step->reply, "");
  EXPECT_EQ(client_.started("a", first, "", kStart), kOk);
}

TEST_F(ZdsClient, StopsARemovedPodAtOnce) {
  run("a");

  const auto step = say(Del{"a"});

  EXPECT_THAT(step->stop, ElementsAre("a"));
  EXPECT_EQ(step->reply, kOk);
  EXPECT_THAT(say(Del{"a"})->stop, IsEmpty());
}

TEST_F(ZdsClient, KeepsPodsRunningWhileTheAgentIsAwayAndPrunesByTheNextSnapshot) {
  run("a");
  run("b");
  run("c");
  ASSERT_TRUE(say(SnapshotSent{}));
  client_.disconnected();
  EXPECT_EQ(client_.pending(), "not connected to the node agent");

  client_.connected();
  ASSERT_TRUE(add("a"));
  ASSERT_EQ(say(Keep{"b"})->reply, kOk);
  const auto end = say(SnapshotSent{});

  EXPECT_THAT(end->stop, ElementsAre("c"));
  EXPECT_TRUE(client_.ready());
}

TEST_F(ZdsClient, RefusesWhatTheProtocolForbids) {
  EXPECT_FALSE(
      client_.received(*encode(Add{{.uid = "a", .name = "", .name_space = "", .service_account = ""}}), {}));  // no descriptor
  EXPECT_FALSE(add(""));
  EXPECT_FALSE(client_.received("\x22", {}));
  ASSERT_TRUE(add("b"));
  EXPECT_FALSE(say(Del{"a"}));  // before the answer
  client_.connected();
  ASSERT_TRUE(say(SnapshotSent{}));
  EXPECT_FALSE(say(SnapshotSent{}));
  EXPECT_FALSE(say(Keep{"a"}));
}

}  // namespace
}  // namespace culvert::zds
