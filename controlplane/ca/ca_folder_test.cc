#include "controlplane/ca/ca_folder.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>

#include "common/base/file.h"

namespace culvert::controlplane {
namespace {

using namespace std::chrono_literals;

// Data planes watch the file, and ask for certificates as soon as it changes: they would be given the roots of before, for half of a certificate's life.
TEST(CaFolder, WhatItReplacesIsInForceBeforeAnybodySeesIt) {
  char name[] = "/tmp/culvert-ca-XXXXXX";
  const std::string folder = std::string(::mkdtemp(name)) + "/data";
  const RotationPolicy at_once{.grace_percent = 100, .root_lifetime = 1h};
  auto ca = load_or_make_ca(folder, "cluster.local", at_once);
  ASSERT_TRUE(ca) << ca.error().text;
  const std::string roots = folder + "/root-cert.pem", before = ca->roots_pem;
  std::string in_force = before;
  net::Loop loop;
  const auto follower = CaFolder::open(
      loop, {.folder = folder, .trust_domain = [] { return TrustDomainWanted{"cluster.local"}; }, .rotation = at_once},
      [&](const Ca& now) { in_force = now.roots_pem; });
  ASSERT_TRUE(follower) << follower.error().text;

  std::string seen = before;
  loop.run([](net::Loop* on, const std::string* path, const std::string* old, std::string* now) -> net::Task<> {
    for (; *now == *old; *now = read_file(*path).value_or("")) co_await on->yield();
  }(&loop, &roots, &before, &seen));
  EXPECT_EQ(in_force, seen);

  std::filesystem::remove_all(std::filesystem::path(folder).parent_path());
}

}  // namespace
}  // namespace culvert::controlplane
