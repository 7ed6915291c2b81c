#include "ztunnel/dns/message.h"

#include <gtest/gtest.h>

#include <string_view>

namespace culvert::ztunnel::dns {
namespace {

std::vector<std::byte> wire(std::initializer_list<unsigned> header, std::string_view body) {
  std::vector<std::byte> out;
  for (const unsigned word : header) {
    out.push_back(static_cast<std::byte>(word >> 8));
    out.push_back(static_cast<std::byte>(word & 0xff));
  }
  for (const char c : body) out.push_back(static_cast<std::byte>(c));
  return out;
}

using namespace std::string_view_literals;
constexpr auto kQuestionA = "\3Www\7eXample\0\0\1\0\1"sv;
constexpr auto kOpt = "\0\0\x29\x10\0\0\0\0\0\0\0"sv;

std::vector<std::byte> query_a() { return wire({0x1234, 0x0100, 1, 0, 0, 0}, kQuestionA); }

TEST(DnsMessage, ReadsAQuestionInLowerCaseAndKeepsItsBytes) {
  const auto query = parse_query(query_a());

  ASSERT_TRUE(query) << query.error().text;
  EXPECT_EQ(query->id, 0x1234);
  EXPECT_EQ(query->name, "www.example");
  EXPECT_EQ(query->type, kTypeA);
  EXPECT_TRUE(query->recursion_desired);
  EXPECT_EQ(query->question.size(), kQuestionA.size());
  EXPECT_EQ(std::to_integer<char>(query->question[1]), 'W');
  EXPECT_FALSE(query->edns_payload);
}

TEST(DnsMessage, ReadsEdns) {
  const auto query = parse_query(wire({1, 0, 1, 0, 0, 1}, std::string(kQuestionA) + std::string(kOpt)));

  ASSERT_TRUE(query) << query.error().text;
  EXPECT_EQ(query->edns_payload, 4096);
  EXPECT_EQ(udp_limit(*query), 4096u);
}

TEST(DnsMessage, RefusesWhatIsNoPlainQuery) {
  const std::string question(kQuestionA);
  const struct {
    const char* what;
    std::vector<std::byte> bytes;
  } cases[] = {
      {"empty", {}},
      {"a response", wire({1, 0x8000, 1, 0, 0, 0}, question)},
      {"another opcode", wire({1, 0x2800, 1, 0, 0, 0}, question)},
      {"no question", wire({1, 0, 0, 0, 0, 0}, "")},
      {"two questions", wire({1, 0, 2, 0, 0, 0}, question + question)},
      {"records", wire({1, 0, 1, 1, 0, 0}, question)},
      {"a pointer", wire({1, 0, 1, 0, 0, 0}, "\xc0\x0c\0\1\0\1"sv)},
      {"a cut name", wire({1, 0, 1, 0, 0, 0}, "\7exam"sv)},
      {"a cut question", wire({1, 0, 1, 0, 0, 0}, "\1a\0\0"sv)},
      {"class CHAOS", wire({1, 0, 1, 0, 0, 0}, "\1a\0\0\1\0\3"sv)},
      {"bytes after the end", wire({1, 0, 1, 0, 0, 0}, question + "x")},
      {"EDNS version 1", wire({1, 0, 1, 0, 0, 1}, question + std::string("\0\0\x29\x10\0\0\1\0\0\0\0"sv))},
      {"a long name", wire({1, 0, 1, 0, 0, 0},
                           [] {
                             std::string name;
                             for (int i = 0; i < 5; ++i) name += "\x3f" + std::string(63, 'a');
                             return name + std::string("\0\0\1\0\1"sv);
                           }())},
  };
  for (const auto& each : cases) EXPECT_FALSE(parse_query(each.bytes)) << each.what;
}

TEST(DnsMessage, EscapesBytesThatNoHostNameHas) {
  const auto query = parse_query(wire({1, 0, 1, 0, 0, 0}, "\3a.b\1\xff\0\0\1\0\1"sv));

  ASSERT_TRUE(query);
  EXPECT_EQ(query->name, "a\\046b.\\255");
}

TEST(DnsMessage, PrintsAddressesUnderTheQuestionsName) {
  const auto query = *parse_query(query_a());

  const auto out = encode(query, {.addresses = {*IpAddress::parse("10.0.0.1")}}, 512);

  const std::string expected_tail("\xc0\x0c\0\1\0\1\0\0\0\x1e\0\4\x0a\0\0\1"sv);
  EXPECT_EQ(out, wire({0x1234, 0x8580, 1, 1, 0, 0}, std::string(kQuestionA) + expected_tail));
}

TEST(DnsMessage, PrintsACnameThatOwnsTheAddresses) {
  const auto query = *parse_query(query_a());

  const auto out = encode(query, {.canonical_name = "a.b", .addresses = {*IpAddress::parse("10.0.0.1")}}, 512);

  const std::string cname("\xc0\x0c\0\5\0\1\0\0\0\x1e\0\5\1a\1b\0"sv);
  const std::string address("\xc0\x29\0\1\0\1\0\0\0\x1e\0\4\x0a\0\0\1"sv);
  EXPECT_EQ(out, wire({0x1234, 0x8580, 1, 2, 0, 0}, std::string(kQuestionA) + cname + address));
}

TEST(DnsMessage, SetsTruncatedWhenAddressesDoNotFit) {
  const auto query = *parse_query(query_a());
  const std::vector<IpAddress> many(100, *IpAddress::parse("10.0.0.1"));

  const auto out = encode(query, {.addresses = many}, 512);

  EXPECT_LE(out.size(), 512u);
  EXPECT_EQ(std::to_integer<unsigned>(out[2]) & 0x02u, 0x02u);
  EXPECT_EQ(std::to_integer<unsigned>(out[7]), (512u - 12 - kQuestionA.size()) / 16);
}

TEST(DnsMessage, TellsThatAReplyDoesNotFit) {
  const auto query = *parse_query(query_a());
  const auto reply = wire({0x1234, 0x8583, 1, 9, 2, 1}, std::string(kQuestionA) + std::string(600, 'x'));

  EXPECT_EQ(encode_truncated(query, reply), wire({0x1234, 0x8783, 1, 0, 0, 0}, std::string(kQuestionA)));
}

TEST(DnsMessage, AnswersEdnsWithEdns) {
  const auto query = *parse_query(wire({1, 0, 1, 0, 0, 1}, std::string(kQuestionA) + std::string(kOpt)));

  const auto out = encode(query, {}, udp_limit(query));

  EXPECT_EQ(std::to_integer<unsigned>(out[11]), 1u);
  EXPECT_EQ(out.size(), 12 + kQuestionA.size() + kOpt.size());
}

TEST(DnsMessage, NamesTheIdOfABrokenQueryOnly) {
  EXPECT_EQ(query_id(wire({7, 0, 9, 9, 9, 9}, "x")), 7);
  EXPECT_EQ(query_id(wire({7, 0x8000, 0, 0, 0, 0}, "")), std::nullopt);
  EXPECT_EQ(query_id({}), std::nullopt);
}

}  // namespace
}  // namespace culvert::ztunnel::dns
