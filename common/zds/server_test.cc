#include "common/zds/server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/format.h"

namespace culvert::zds {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::IsEmpty;

// Speaks with a server and writes down what it does, one word an action: "1<add a" is an Add of a sent to connection 1.
class ZdsServer : public testing::Test {
 protected:
  struct Write {
    std::string operator()(const Server::Send& send) const {
      const auto request = decode_request(send.packet);
      if (!request) return "unreadable";
      const auto word = std::visit(Word{}, *request);
      EXPECT_EQ(send.netns != nullptr, std::holds_alternative<Add>(*request));
      return culvert::format("{}<{}", send.to, word);
    }
    std::string operator()(const Server::Close& close) const { return culvert::format("{} closed: {}", close.who, close.why); }
    std::string operator()(const Server::Added& added) const {
      return culvert::format("added {} by {}{}", added.uid, added.by, added.error);
    }
    std::string operator()(const Server::Removed& removed) const { return "removed " + removed.uid; }
    std::string operator()(const Server::Synchronised& done) const { return culvert::format("{} synchronised", done.who); }
  };
  struct Word {
    std::string operator()(const Add& add) const { return "add " + add.pod.uid; }
    std::string operator()(const Keep& keep) const { return "keep " + keep.uid; }
    std::string operator()(const Del& del) const { return "del " + del.uid; }
    std::string operator()(const SnapshotSent&) const { return "end"; }
  };
  using Words = std::vector<std::string>;
  static Words write(const Server::Actions& actions) {
    Words words;
    for (const auto& action : actions) words.push_back(std::visit(Write{}, action));
    return words;
  }

  Words add(std::string uid) {
    return write(server_.add({.uid = std::move(uid), .name = "p", .name_space = "n", .service_account = "s"},
                             std::make_shared<const Fd>(), now_));
  }
  Words remove(std::string_view uid) { return write(server_.remove(uid, now_)); }
  Words ack(Server::Id who, std::string_view error = "") { return write(server_.received(who, encode_ack(error), now_)); }
  Words hello(Server::Id who) { return write(server_.received(who, encode_hello(), now_)); }
  Words connect(std::uint64_t started = 0) { return hello(server_.connected(started, now_)); }

  Server server_;
  Server::Time now_{};
};

TEST_F(ZdsServer, SendsItsPodsOneByOneAsTheSnapshot) {
  EXPECT_THAT(add("a"), IsEmpty());
  EXPECT_THAT(add("b"), IsEmpty());

  EXPECT_THAT(connect(), ElementsAre("1<add a"));
  EXPECT_THAT(ack(1), ElementsAre("added a by 1", "1<add b"));
  EXPECT_THAT(ack(1, " with error"), ElementsAre("added b by 1 with error", "1<end"));
  EXPECT_FALSE(server_.has_ztunnel());
  EXPECT_THAT(ack(1), ElementsAre("1 synchronised"));
  EXPECT_TRUE(server_.has_ztunnel());
  EXPECT_FALSE(server_.deadline());
}

TEST_F(ZdsServer, AsksToKeepAPodWhoseNamespaceItLacks) {
  server_.add({.uid = "a", .name = "", .name_space = "", .service_account = ""}, nullptr, now_);

  EXPECT_THAT(connect(), ElementsAre("1<keep a"));
  EXPECT_THAT(ack(1), ElementsAre("1<end"));
}

TEST_F(ZdsServer, HasOneRequestUnderWayAtATime) {
  connect();
  ack(1);

  EXPECT_THAT(add("a"), ElementsAre("1<add a"));
  EXPECT_THAT(add("b"), IsEmpty());
  EXPECT_THAT(remove("a"), IsEmpty());
  EXPECT_THAT(ack(1), ElementsAre("1<del a"));  // nobody asks any more how the Add went
  EXPECT_THAT(ack(1), ElementsAre("1<add b", "removed a"));
  EXPECT_THAT(ack(1), ElementsAre("added b by 1"));
}

TEST_F(ZdsServer, TellsAPodAgainWhenAsked) {
  connect();
  ack(1);
  add("a");
  EXPECT_THAT(ack(1, " failed"), ElementsAre("added a by 1 failed"));

  EXPECT_THAT(add("a"), ElementsAre("1<add a"));
}

TEST_F(ZdsServer, NeverMentionsAPodThatWentBeforeItWasTold) {
  connect();
  ack(1);
  add("a");
  add("b");

  EXPECT_THAT(remove("b"), ElementsAre("removed b"));
  EXPECT_THAT(ack(1), ElementsAre("added a by 1"));
}

TEST_F(ZdsServer, AddsToTheNewestAndRemovesFromAll) {
  add("a");
  connect();
  ack(1);
  ack(1);
  EXPECT_THAT(connect(), ElementsAre("2<add a"));
  ack(2);
  ack(2);

  EXPECT_THAT(add("b"), ElementsAre("2<add b"));
  ack(2);
  EXPECT_THAT(remove("a"), ElementsAre("1<del a", "2<del a"));
  EXPECT_THAT(ack(1), IsEmpty());
  EXPECT_THAT(ack(2), ElementsAre("removed a"));
}

TEST_F(ZdsServer, GivesThePreviousZtunnelWhatItMissedWhenTheNewestGoes) {
  connect();
  ack(1);
  connect();
  ack(2);
  add("a");

  EXPECT_THAT(write(server_.disconnected(2, now_)), ElementsAre("1<add a"));
  EXPECT_THAT(ack(1), ElementsAre("added a by 1"));
}

// One that is about to end comes back to a new agent whenever its pause is over.
TEST_F(ZdsServer, TheYoungestIsTheNewestWhoeverComesLast) {
  connect(200);
  ack(1);
  connect(100);
  ack(2);
  EXPECT_THAT(add("a"), ElementsAre("1<add a"));
  ack(1);

  EXPECT_THAT(write(server_.disconnected(1, now_)), ElementsAre("2<add a"));
}

TEST_F(ZdsServer, CountsAPodAsRemovedWhenItsLastZtunnelIsGone) {
  connect();
  ack(1);
  add("a");
  ack(1);
  EXPECT_THAT(remove("a"), ElementsAre("1<del a"));

  EXPECT_THAT(write(server_.disconnected(1, now_)), ElementsAre("removed a"));
}

TEST_F(ZdsServer, DropsAZtunnelThatKeepsItWaiting) {
  server_.connected(0, now_);
  EXPECT_EQ(server_.deadline(), now_ + 5s);
  EXPECT_THAT(write(server_.expired(now_ + 4s)), IsEmpty());
  EXPECT_THAT(write(server_.expired(now_ + 5s)), ElementsAre("1 closed: no hello within 5s"));

  connect();
  EXPECT_THAT(write(server_.expired(now_ + 5s)), ElementsAre("2 closed: no answer within 5s"));
  EXPECT_FALSE(server_.has_ztunnel());
  EXPECT_FALSE(server_.deadline());
}

TEST_F(ZdsServer, DropsAZtunnelThatBreaksTheProtocol) {
  connect();
  ack(1);
  EXPECT_THAT(ack(1), ElementsAre("1 closed: an answer to no request"));

  EXPECT_THAT(write(server_.received(server_.connected(0, now_), "\x08\x09", now_)),
              ElementsAre("2 closed: a hello of version 9: only version 1 is spoken here"));

  connect();
  EXPECT_THAT(write(server_.received(3, "\xff", now_)), ElementsAre("3 closed: cannot read an answer"));
  EXPECT_THAT(write(server_.received(3, "\xff", now_)), IsEmpty());  // gone
}

TEST_F(ZdsServer, FailsAPodWhoseNamesFitNoPacket) {
  connect();
  ack(1);

  const auto words = add(std::string(2000, 'x'));

  ASSERT_EQ(words.size(), 1u);
  EXPECT_THAT(words[0], testing::HasSubstr("does not fit into a packet"));
  EXPECT_THAT(add("b"), ElementsAre("1<add b"));
}

}  // namespace
}  // namespace culvert::zds
