#include "common/base/log.h"

#include <gtest/gtest.h>

#include <functional>
#include <regex>

namespace culvert::log {
namespace {

// What is logged meanwhile, without its time stamps.
std::string logged(bool json, const std::function<void()>& act) {
  testing::internal::CaptureStdout();
  EXPECT_TRUE(start("info", json));
  act();
  stop();
  const std::string text = testing::internal::GetCapturedStdout();
  return std::regex_replace(text, std::regex("[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{6}Z"), "NOW");
}

TEST(Log, EscapesWhatATerminalOrAReaderOfJsonWouldStumbleOver) {
  const struct {
    std::string text, escaped, plain;
  } cases[] = {
      {"a\x7f"
       "b",
       R"(a\u007fb)", "a b"},
      {"\x1b[31m", R"(\u001b[31m)", " [31m"},
      {"\xc2\x9b"
       "31m",
       R"(\u009b31m)", " 31m"},
      {"gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f"},
      {"\xf0\x9f\x90\x8c", "\xf0\x9f\x90\x8c", "\xf0\x9f\x90\x8c"},
      {"\xc3(", R"(\ufffd()", "?("},
      {"cut \xe2\x82", R"(cut \ufffd\ufffd)", "cut ??"},
      {"\xed\xa0\x80", R"(\ufffd\ufffd\ufffd)", "???"},
      {"\"\\", R"(\"\\)", "\"\\"},
  };
  for (const auto& one : cases) {
    const auto act = [&one] { info("s", one.text, {field("k", one.text)}); };
    EXPECT_EQ(logged(true, act),
              R"({"level":"info","time":"NOW","scope":"s","message":")" + one.escaped + R"(","k":")" + one.escaped + "\"}\n");
    EXPECT_EQ(logged(false, act), "NOW\tinfo\ts\t" + one.plain + "\tk=\"" + one.escaped + "\"\n");
  }
}

}  // namespace
}  // namespace culvert::log
