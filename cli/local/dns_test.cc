#include "cli/local/dns.h"

#include <gtest/gtest.h>

namespace culvert::local {
namespace {

constexpr std::uint16_t kA = 1, kAaaa = 28, kSrv = 33;

std::vector<std::uint8_t> query(std::string_view name, std::uint16_t type) {
  std::vector<std::uint8_t> bytes = {0x12, 0x34, 0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, 0};
  while (!name.empty()) {
    const auto label = name.substr(0, name.find('.'));
    bytes.push_back(static_cast<std::uint8_t>(label.size()));
    bytes.insert(bytes.end(), label.begin(), label.end());
    name.remove_prefix(std::min(label.size() + 1, name.size()));
  }
  bytes.insert(bytes.end(), {0, static_cast<std::uint8_t>(type >> 8), static_cast<std::uint8_t>(type), 0, 1});
  return bytes;
}

int code(const std::vector<std::uint8_t>& answer) { return answer.at(3) & 0xf; }
int count(const std::vector<std::uint8_t>& answer) { return answer.at(6) << 8 | answer.at(7); }

const Zone kZone = Zone::parse(
    "web.shop A 10.96.0.20\nweb.shop AAAA fd00::20\n_http._tcp.web.shop SRV 80 web.shop\nempty.shop NAME .\nmany A "
    "10.0.0.1\nmany A 10.0.0.2\n");

TEST(Dns, AnswersInTheFamilyThatWasAskedFor) {
  const auto v4 = answer_dns(kZone, query("WEB.shop", kA), 512, 0);
  const auto v6 = answer_dns(kZone, query("web.shop", kAaaa), 512, 0);

  EXPECT_EQ(code(v4), 0);
  EXPECT_EQ(count(v4), 1);
  EXPECT_EQ(std::vector<std::uint8_t>(v4.end() - 4, v4.end()), (std::vector<std::uint8_t>{10, 96, 0, 20}));
  EXPECT_EQ(v4[0], 0x12);
  EXPECT_EQ(count(v6), 1);
}

TEST(Dns, TellsNothingHereFromNoSuchName) {
  EXPECT_EQ(code(answer_dns(kZone, query("web.shop", kSrv), 512, 0)), 0);
  EXPECT_EQ(count(answer_dns(kZone, query("web.shop", kSrv), 512, 0)), 0);
  EXPECT_EQ(code(answer_dns(kZone, query("empty.shop", kA), 512, 0)), 0);
  EXPECT_EQ(code(answer_dns(kZone, query("shop", kA), 512, 0)), 0) << "there are names below it";
  EXPECT_EQ(code(answer_dns(kZone, query("other.shop", kA), 512, 0)), 3);
}

TEST(Dns, AnswersForServices) { EXPECT_EQ(count(answer_dns(kZone, query("_http._tcp.web.shop", kSrv), 512, 0)), 1); }

TEST(Dns, TakesAddressesInTurn) {
  EXPECT_NE(answer_dns(kZone, query("many", kA), 512, 0), answer_dns(kZone, query("many", kA), 512, 1));
  EXPECT_EQ(count(answer_dns(kZone, query("many", kA), 512, 1)), 2);
}

TEST(Dns, SaysWhenAnAnswerDoesNotFit) {
  const auto answer = answer_dns(kZone, query("many", kA), 40, 0);

  EXPECT_TRUE(answer.at(2) & 2);
  EXPECT_LE(answer.size(), 40U);
}

TEST(Dns, SurvivesAnythingThatIsSent) {
  EXPECT_TRUE(answer_dns(kZone, {}, 512, 0).empty());
  auto bytes = query("web.shop", kA);
  for (std::size_t size = 0; size < bytes.size(); ++size) (void)answer_dns(kZone, std::span(bytes).first(size), 512, 0);
  for (std::size_t at = 12; at < bytes.size(); ++at) {
    auto broken = bytes;
    broken[at] = 0xff;
    (void)answer_dns(kZone, broken, 512, 0);
  }
  bytes[2] = 0x80;
  EXPECT_TRUE(answer_dns(kZone, bytes, 512, 0).empty()) << "an answer gets none";
}

}  // namespace
}  // namespace culvert::local
