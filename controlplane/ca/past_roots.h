#pragma once
// The roots of CAs that signed before the one that signs now: certificates that are in use chain to them, and they stay published until these have been
// renewed, whatever became of the CA and however often culvertd has been started since. Kept as a text in a place of our own: the file ca-roots.json in
// --data-dir, or the Secret culvert-ca-roots (what is trusted is nothing for a ConfigMap: more people may write those). A plain value; the time is passed in.

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "common/kube/client.h"
#include "common/kube/leadership.h"

namespace culvert::controlplane {

class PastRoots {
 public:
  using Time = std::chrono::system_clock::time_point;
  static constexpr std::size_t kMost = 8;  // of several that are past, those that ended last

  // What text() has written.
  static Result<PastRoots> parse(std::string_view text);
  std::string text() const;

  // The roots, as PEM, that lead to what signs now. Those that did so before stay for `keep` from now on. True when something is new.
  bool signs_under(const std::vector<std::string>& roots, Time now, std::chrono::seconds keep);
  // They are to be trusted no more. True when there was one.
  bool drop(const std::vector<std::string>& roots);
  // True when one has been kept long enough.
  bool forget(Time now);
  std::optional<Time> next() const;  // when the next will have been
  std::vector<std::string> past() const;

 private:
  struct Root {
    std::string pem;
    std::optional<Time> until;  // none: it signs
  };
  std::vector<Root> roots_;
};

// In --data-dir. One that cannot be read is logged, and is none.
PastRoots load_past_roots(const std::string& folder);
void write_past_roots(const std::string& folder, const std::string& text);

// In the Secret. Fails when the API server cannot be asked; what it refuses, and what cannot be read, is logged, and is none.
net::Task<Result<PastRoots>> find_past_roots(kube::Client& client, std::string ns);

// Writes the Secret while we lead, when there is another text. On the control thread.
class PastRootsWriter {
 public:
  PastRootsWriter(kube::Client& client, std::string ns, std::string text);
  ~PastRootsWriter();
  PastRootsWriter(const PastRootsWriter&) = delete;
  PastRootsWriter& operator=(const PastRootsWriter&) = delete;

  void lead(kube::Leadership leading);
  void write(std::string text);

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace culvert::controlplane
