#include "common/base/file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

namespace culvert {
namespace {

using testing::EndsWith;
using testing::HasSubstr;

struct ReadFile : testing::Test {
  ReadFile() { std::filesystem::create_directory(folder); }
  ~ReadFile() override { std::filesystem::remove_all(folder); }
  std::string put(const std::string& text) const {
    std::ofstream(folder + "/file") << text;
    return folder + "/file";
  }

  std::string folder = testing::TempDir() + "culvert-file-test-" + std::to_string(::getpid());
};

TEST_F(ReadFile, YieldsEveryByte) {
  const std::string large = std::string(100'000, 'x') + '\0' + "\r\n";

  EXPECT_EQ(read_file(put(large)).value(), large);
  EXPECT_EQ(read_file(put("")).value(), "");
  EXPECT_THAT(read_file("/proc/self/stat").value(), EndsWith("\n"));  // its size is said to be 0
}

TEST_F(ReadFile, SaysWhatIsNoFile) {
  EXPECT_EQ(read_file(folder + "/none").error().text, "opening " + folder + "/none: No such file or directory");
  EXPECT_EQ(read_file(folder).error().text, "reading " + folder + ": Is a directory");
}

TEST_F(ReadFile, RefusesWhatIsTooLargeToBeIt) {
  const std::string path = put("1234");

  EXPECT_EQ(read_file(path, 4).value(), "1234");
  EXPECT_THAT(read_file(path, 3).error().text, HasSubstr("larger than 3 bytes"));
}

TEST_F(ReadFile, DoesNotWaitForTheWriterOfAFifo) {
  const std::string path = folder + "/fifo";
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);

  EXPECT_EQ(read_file(path).value(), "");
}

}  // namespace
}  // namespace culvert
