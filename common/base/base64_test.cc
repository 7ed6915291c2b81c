#include "common/base/base64.h"

#include <gtest/gtest.h>

namespace culvert {
namespace {

TEST(Base64, KnowsTheVectorsOfTheRfc) {
  constexpr std::pair<std::string_view, std::string_view> kVectors[] = {{"", ""},
                                                                        {"f", "Zg=="},
                                                                        {"fo", "Zm8="},
                                                                        {"foo", "Zm9v"},
                                                                        {"foob", "Zm9vYg=="},
                                                                        {"fooba", "Zm9vYmE="},
                                                                        {"foobar", "Zm9vYmFy"}};
  for (const auto& [bytes, text] : kVectors) {
    EXPECT_EQ(to_base64(bytes), text);
    EXPECT_EQ(from_base64(text), bytes);
  }
}

TEST(Base64, AllBytesComeBack) {
  std::string all;
  for (int i = 0; i < 256; ++i) all += static_cast<char>(i);
  for (std::size_t size = 0; size <= all.size(); ++size)
    EXPECT_EQ(from_base64(to_base64(all.substr(0, size))), all.substr(0, size));
}

TEST(Base64, TakesTheAlphabetForUrlsLineBreaksAndNoPadding) {
  EXPECT_EQ(from_base64("-_-_"), from_base64("+/+/"));
  EXPECT_EQ(from_base64("Zm9v\nYg"), "foob");
}

TEST(Base64, RefusesEverythingElse) {
  for (const char* text : {"Z", "Zm9v*", "Zg==Zg==", "Zm9v\x80"}) EXPECT_FALSE(from_base64(text)) << text;
}

}  // namespace
}  // namespace culvert
