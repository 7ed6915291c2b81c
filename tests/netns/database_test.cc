// A server that speaks first: a real MariaDB. Its greeting has to arrive before its client says anything.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/format.h"
#include "tests/support/world.h"

namespace culvert::testing {
namespace {

using ::testing::HasSubstr;

constexpr const char* kRun =
    "mariadb-install-db --user=root --datadir=/tmp/db --skip-test-db --auth-root-authentication-method=normal >/dev/null && "
    "mariadb --version && exec mariadbd --no-defaults --user=root --datadir=/tmp/db --socket=/tmp/db.sock --bind-address='*' "
    "--port=3306 "
    "--skip-grant-tables --skip-name-resolve --skip-networking=0 --innodb-buffer-pool-size=16M --innodb-log-file-size=8M";

TEST(Database, GreetsItsClientsThroughTheMesh) {
  World world({.nodes = 2});
  auto& near = world.node("node1").pod("near");
  auto& far = world.node("node2").pod("far");
  auto& database = world.node("node1").pod("database", {.command = {"sh", "-c", kRun}, .port = 3306});
  world.service("db", "database", 3306, 3306);
  world.up(100s);

  for (auto* client : {&near, &far}) {
    for (const auto& host : {database.v4(), database.v6(), std::string("db")}) {
      const auto ran =
          client->shell(culvert::format("mariadb --no-defaults --skip-ssl -h {} -u root -e 'select 6 * 7 as answer'", host), 20s);
      EXPECT_EQ(ran.code, 0) << host << ": " << ran.out;
      EXPECT_THAT(ran.out, HasSubstr("42"));
    }
  }
}

}  // namespace
}  // namespace culvert::testing
