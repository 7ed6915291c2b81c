#pragma once
// A .tar.gz that is written as it is filled: a new file, for its owner alone. Not finished, it is removed again.

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "common/base/result.h"

namespace culvert::cli {

class Archive {
 public:
  // Fails when there is something of that name already.
  static Result<Archive> create(const std::string& path);
  Archive(Archive&&) noexcept;
  Archive& operator=(Archive&&) noexcept;
  ~Archive();

  // `name`: at most 255 bytes, relative.
  Status add(const std::string& name, std::string_view text, std::chrono::system_clock::time_point changed);
  // Writes the end. Answers how many bytes the file has.
  Result<std::uint64_t> finish();

 private:
  struct State;
  explicit Archive(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace culvert::cli
