#pragma once
// What the agent shows of itself: what is wrong now (for /readyz), and how often what went wrong (for /metrics).
// One thread.

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace culvert::agent {

class Health {
 public:
  // `what` of `who` fails now: "pod shop/web-0", "attach: ...". Said again it replaces the former text and counts once more.
  // `kind` is the metric's label: the name of a step, "config", "zds", "tick".
  void failing(const std::string& who, std::string_view kind, std::string text);
  void recovered(const std::string& who);

  // What keeps the agent as a whole from being ready; empty text: nothing.
  void unready(const std::string& who, std::string text);
  bool ready() const { return unready_.empty(); }

  // One line for each trouble, the ones that make us unready first; "ok\n" when there is none.
  std::string text() const;

  const std::map<std::string, std::uint64_t, std::less<>>& errors() const { return errors_; }  // kind -> how often
  std::size_t troubles() const { return failing_.size(); }

 private:
  std::map<std::string, std::string> failing_;
  std::map<std::string, std::string> unready_;
  std::map<std::string, std::uint64_t, std::less<>> errors_;
};

}  // namespace culvert::agent
