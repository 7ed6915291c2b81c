// SeqPacket, FileWatch, Datagram and netns: what is neither TCP nor the loop itself.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "common/net/datagram.h"
#include "common/net/file_watch.h"
#include "common/net/listener.h"
#include "common/net/netns.h"
#include "common/net/seq_packet.h"

namespace culvert::net {
namespace {

std::span<const std::byte> bytes(std::string_view text) { return std::as_bytes(std::span(text)); }
std::string text(std::span<const std::byte> data) { return {reinterpret_cast<const char*>(data.data()), data.size()}; }

struct Folder {
  Folder() {
    char name[] = "/tmp/culvert-net-XXXXXX";
    path = ::mkdtemp(name);
  }
  ~Folder() { std::filesystem::remove_all(path); }
  std::string path;
};

TEST(SeqPacket, CarriesMessagesDescriptorsAndCredentials) {
  Loop loop;
  const Folder folder;
  auto listener = *SeqPacketListener::open(loop, folder.path + "/s");
  auto client = *SeqPacket::connect(loop, folder.path + "/s");
  auto server = *loop.run(listener.accept());
  const Fd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  const int fds[] = {null.get()};

  ASSERT_TRUE(loop.run(client.send(bytes("one"), fds)));
  ASSERT_TRUE(loop.run(client.send(bytes("two"))));

  auto first = loop.run(server.receive());
  EXPECT_EQ(text(first.packet.bytes), "one");
  ASSERT_EQ(first.packet.fds.size(), 1U);
  EXPECT_EQ(::write(first.packet.fds[0].get(), "x", 1), 1);
  auto second = loop.run(server.receive());
  EXPECT_EQ(text(second.packet.bytes), "two");
  EXPECT_TRUE(second.packet.fds.empty());
  EXPECT_EQ(server.peer_credentials()->pid, ::getpid());
  client.close();
  EXPECT_EQ(loop.run(server.receive()).io.state, Io::kEof);
}

TEST(SeqPacket, TooLongAMessageIsAnErrorNotAPiece) {
  Loop loop;
  auto [client, server] = *SeqPacket::pair(loop);
  ASSERT_TRUE(loop.run(client.send(bytes("0123456789"))));

  const auto received = loop.run(server.receive(4));

  EXPECT_EQ(received.io.state, Io::kError);
  EXPECT_TRUE(received.packet.bytes.empty());
}

TEST(SeqPacket, ListenerReplacesAStaleFileButNotALiveOne) {
  Loop loop;
  const Folder folder;
  const std::string path = folder.path + "/s";
  {
    Fd dead(::socket(AF_UNIX, SOCK_SEQPACKET, 0));
    sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    ASSERT_EQ(::bind(dead.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  }

  auto listener = SeqPacketListener::open(loop, path, 0660);
  ASSERT_TRUE(listener) << listener.error().text;
  struct stat status{};
  ::stat(path.c_str(), &status);
  EXPECT_EQ(status.st_mode & 0777U, 0660U);
  const auto second = SeqPacketListener::open(loop, path);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().text, "listening on " + path + ": Address already in use");
  listener->close();
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST(SeqPacket, ListenerUnlinksItsOwnFileAndNobodyElses) {
  Loop loop;
  const Folder folder;
  const std::string path = folder.path + "/s";
  const auto first = SeqPacketListener::open(loop, path);
  ASSERT_TRUE(first) << first.error().text;

  first->unlink();
  EXPECT_FALSE(std::filesystem::exists(path));
  const auto second = SeqPacketListener::open(loop, path);
  ASSERT_TRUE(second) << second.error().text;
  first->unlink();

  EXPECT_TRUE(std::filesystem::exists(path));
}

TEST(SeqPacket, ConnectingToNobodySaysWhere) {
  Loop loop;
  const auto nobody = SeqPacket::connect(loop, "/nowhere/s");
  ASSERT_FALSE(nobody);
  EXPECT_EQ(nobody.error().text, "connecting to /nowhere/s: No such file or directory");
}

TEST(FileWatch, SaysWhatChangedOnceItIsWhole) {
  Loop loop;
  const Folder folder;
  auto watch = *FileWatch::open(loop, folder.path);
  const std::string a = folder.path + "/a";
  {
    std::ofstream(a) << "x";
    std::filesystem::rename(a, folder.path + "/b");
    std::filesystem::create_symlink("b", folder.path + "/c");
  }

  const auto changes = loop.run(watch.next());

  EXPECT_EQ(changes,
            (std::vector<FileChange>{{FileChange::kRemoved, "a"}, {FileChange::kChanged, "b"}, {FileChange::kChanged, "c"}}));
  std::filesystem::remove_all(folder.path);
  const auto gone = loop.run(watch.next());
  EXPECT_EQ(gone.back().kind, FileChange::kFolderGone);
}

TEST(FileWatch, AMissingFolderIsAnError) {
  Loop loop;
  const auto watch = FileWatch::open(loop, "/nowhere");
  ASSERT_FALSE(watch);
  EXPECT_EQ(watch.error().text, "watching /nowhere: No such file or directory");
}

class DatagramTest : public testing::TestWithParam<std::pair<const char*, const char*>> {};
INSTANTIATE_TEST_SUITE_P(Families, DatagramTest,
                         testing::Values(std::pair("127.0.0.1:0", "127.0.0.1"), std::pair("[::1]:0", "::1"),
                                         std::pair("[::]:0", "127.0.0.1")));

TEST_P(DatagramTest, KnowsWhereADatagramWasSentAndAnswersFromThere) {
  Loop loop;
  auto server = *Datagram::open(loop, {.at = *Endpoint::parse(GetParam().first)});
  const Endpoint to = {.address = *IpAddress::parse(GetParam().second), .port = server.local().port};
  const Endpoint any = {.address = *IpAddress::parse(to.address.is_v4() ? "127.0.0.1" : "::1")};
  auto client = *Datagram::open(loop, {.at = any});
  std::byte buffer[16];

  ASSERT_TRUE(client.try_send(bytes("query"), to).ok());
  const auto query = loop.run(server.receive(buffer));
  ASSERT_TRUE(query.io.ok());
  EXPECT_EQ(query.from, client.local());
  EXPECT_EQ(query.to, to);
  ASSERT_TRUE(server.try_send(bytes("reply"), query.from, query.to).ok());
  const auto reply = loop.run(client.receive(buffer));
  EXPECT_EQ(reply.from, to);
  EXPECT_EQ(text({buffer, reply.io.bytes}), "reply");
}

TEST(Netns, SocketsStayInTheirNamespaceAndTheThreadComesBack) {
  Fd other;
  const auto home = *netns_cookie(-1);
  std::thread([&] {  // unshare is for good: in a thread of its own
    if (::unshare(CLONE_NEWNET) == 0) other = *current_netns();
  })
      .join();
  if (!other) GTEST_SKIP() << "making a network namespace is not permitted";
  Loop loop;

  EXPECT_NE(*netns_cookie(other.get()), home);
  EXPECT_EQ(*netns_cookie(-1), home);
  const auto listener = Listener::open(loop, {.at = *Endpoint::parse("0.0.0.0:1"), .netns = other.get()});
  ASSERT_TRUE(listener) << listener.error().text;
  std::uint64_t cookie = 0;
  socklen_t size = sizeof cookie;
  ::getsockopt(listener->fd(), SOL_SOCKET, 71 /* SO_NETNS_COOKIE */, &cookie, &size);
  EXPECT_EQ(cookie, *netns_cookie(other.get()));
}

}  // namespace
}  // namespace culvert::net
