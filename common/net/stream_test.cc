#include "common/net/stream.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <string>
#include <vector>

#include "common/net/dial.h"
#include "common/net/listener.h"
#include "common/net/test_connection.h"
#include "common/net/timer.h"

namespace culvert::net {
namespace {

using namespace std::chrono_literals;

class StreamTest : public testing::TestWithParam<const char*> {
 protected:
  Listener listen() { return *Listener::open(loop, {.at = *Endpoint::parse(GetParam())}); }
  Loop loop;
};
INSTANTIATE_TEST_SUITE_P(Families, StreamTest, testing::Values("127.0.0.1:0", "[::1]:0"),
                         [](const auto& family) { return family.param[0] == '[' ? "v6" : "v4"; });

TEST_P(StreamTest, KnowsBothAddresses) {
  Listener listener = listen();

  const Connection connection = loop.run(connect(loop, listener));

  EXPECT_EQ(connection.client.peer(), listener.local());
  EXPECT_EQ(connection.server.local(), listener.local());
  EXPECT_EQ(connection.server.peer(), connection.client.local());
}

TEST_P(StreamTest, HalfClosesInEitherDirection) {
  Listener listener = listen();

  loop.run([](Loop& l, Listener& at) -> Task<> {
    auto [client, server] = co_await connect(l, at);
    EXPECT_TRUE((co_await client.write_all(bytes("question"))).ok());
    client.shutdown_write();
    Io end;
    const std::string question = co_await read_all(server, &end);
    EXPECT_EQ(question, "question");
    EXPECT_EQ(end.state, Io::kEof);
    EXPECT_TRUE((co_await server.write_all(bytes("answer"))).ok());
    server.shutdown_write();
    const std::string answer = co_await read_all(client, &end);
    EXPECT_EQ(answer, "answer");
    EXPECT_EQ(end.state, Io::kEof);
  }(loop, listener));
}

TEST_P(StreamTest, ReportsAResetAfterTheLastByte) {
  Listener listener = listen();

  loop.run([](Loop& l, Listener& at) -> Task<> {
    auto [client, server] = co_await connect(l, at);
    EXPECT_TRUE((co_await client.write_all(bytes("last words"))).ok());
    co_await client.reset_after_sending(1s);
    std::ignore = co_await server.broken();
    // A write that notices the reset first must not turn it into a clean end for the reader.
    EXPECT_EQ(server.try_write(bytes("x")).state, Io::kReset);
    Io end;
    const std::string words = co_await read_all(server, &end);
    EXPECT_EQ(words, "last words");
    EXPECT_EQ(end.state, Io::kReset);
  }(loop, listener));
}

TEST_P(StreamTest, CloseWakesTheWaiterWithAnError) {
  Listener listener = listen();

  loop.run([](Loop& l, Listener& at) -> Task<> {
    auto [client, server] = co_await connect(l, at);
    Timer timer(l);
    timer.arm(2ms, [&stream = client] { stream.close(); });
    const Status woken = co_await client.readable();
    EXPECT_FALSE(woken.has_value());
    EXPECT_EQ(client.try_read({}).error, ECANCELED);
  }(loop, listener));
}

TEST_P(StreamTest, MovesALotUnderBackpressure) {
  Listener listener = listen();
  std::string sent(20'000'000, '\0');
  for (std::size_t i = 0; i < sent.size(); ++i) sent[i] = static_cast<char>(i * 7 + i / 1000);

  loop.run([](Loop& l, Listener& at, const std::string& text) -> Task<> {
    auto [client, server] = co_await connect(l, at);
    std::string received;
    co_await both(
        [](Stream& out, const std::string& all) -> Task<> {
          const Io io = co_await out.write_all(bytes(all));
          EXPECT_EQ(io.bytes, all.size());
          out.shutdown_write();
        }(client, text),
        [](Stream& in, std::string& all) -> Task<> { all = co_await read_all(in); }(server, received));
    EXPECT_TRUE(received == text);
  }(loop, listener, sent));
}

TEST_P(StreamTest, UrgentDataKeepsItsPlace) {
  Listener listener = listen();

  loop.run([](Loop& l, Listener& at) -> Task<> {
    auto [client, server] = co_await connect(l, at);
    EXPECT_EQ(::send(client.fd(), "12!", 3, MSG_OOB), 3);  // the last of them is the urgent one
    EXPECT_EQ(::send(client.fd(), "34", 2, 0), 2);
    client.shutdown_write();
    const std::string up = co_await read_all(server);
    EXPECT_EQ(up, "12!34");
    EXPECT_EQ(::send(server.fd(), "ab!", 3, MSG_OOB), 3);
    server.shutdown_write();
    const std::string down = co_await read_all(client);
    EXPECT_EQ(down, "ab!");
  }(loop, listener));
}

TEST_P(StreamTest, ATornConnectionIsAResetAndAnEndedOneIsNot) {
  Listener listener = *Listener::open(loop, {.at = *Endpoint::parse(GetParam()), .reset_if_torn = true});

  loop.run([](Loop& l, Listener& at) -> Task<> {
    for (const bool ended : {false, true}) {
      auto client = co_await dial(l, {.to = at.local(), .reset_if_torn = true});
      auto server = co_await at.accept();
      auto other_client = co_await dial(l, {.to = at.local(), .reset_if_torn = true});
      auto other_server = co_await at.accept();
      const std::string much(300'000, 'x');  // waits in the sockets when the descriptors go
      EXPECT_TRUE(server->try_write(bytes(much)).bytes > 100'000U);
      EXPECT_TRUE(other_client->try_write(bytes("part")).ok());
      if (ended) {
        server->shutdown_write();
        other_client->shutdown_write();
      }
      // As the kernel does it when a process is killed.
      { const Fd accepted(server->release()), dialled(other_client->release()); }

      Io end;
      std::ignore = co_await read_all(*client, &end);
      EXPECT_EQ(end.state, ended ? Io::kEof : Io::kReset);
      std::ignore = co_await read_all(*other_server, &end);
      EXPECT_EQ(end.state, ended ? Io::kEof : Io::kReset);
    }
  }(loop, listener));
}

}  // namespace
}  // namespace culvert::net
