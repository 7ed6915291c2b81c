#pragma once
// The one report of a connection: counts it and writes its access-log line, both from the same facts and with the same Reason.
// Made when the connection is taken, written when it leaves scope. One thread.

#include <chrono>
#include <cstdint>
#include <string>

#include "common/base/result.h"
#include "ztunnel/record/counters.h"
#include "ztunnel/record/facts.h"
#include "ztunnel/record/refused_lines.h"

namespace culvert::ztunnel {

class Record {
 public:
  Record(Counters& counters, Reporter reporter, Endpoint source, Endpoint destination);
  ~Record();
  Record(const Record&) = delete;

  Facts facts;  // filled in as they become known

  // It counts as a connection of the mesh from now on: its labels are known. What ends before was refused early, which is a log line only.
  void opened();

  // How it ended. The last word counts.
  void failed(const Error& error) { ended(error.reason, error.text); }
  void ended(Reason reason, std::string text);
  // It was refused: its line is one of these, and is left out where they are too many. It is counted all the same.
  void refused(const Error& error, RefusedLines& lines);

 private:
  friend class Meter;
  void count_bytes(std::size_t flag);
  void log_end() const;
  void log_early() const;

  Counters& counters_;
  TrafficSet* traffic_ = nullptr;  // held once opened
  std::chrono::steady_clock::time_point begun_ = std::chrono::steady_clock::now();
  std::uint64_t to_server_ = 0, to_client_ = 0;
  std::uint64_t counted_to_server_ = 0, counted_to_client_ = 0;  // of those, in the metrics already
  Reason reason_ = Reason::kInternal;
  std::string text_ = "ended before anything was decided";
  bool has_line_ = true;
  std::uint64_t left_out_ = 0;  // lines like its own, before it
};

// Watches the two numbers that a relay keeps up to date, while it lives: every scrape counts them, so that a long connection shows while
// it lasts, and the record has them at the end.
class Meter {
 public:
  Meter(Record& record, const std::uint64_t& to_server, const std::uint64_t& to_client);
  ~Meter();
  Meter(const Meter&) = delete;

 private:
  friend class Counters;
  void read();

  Record& record_;
  const std::uint64_t& to_server_;
  const std::uint64_t& to_client_;
  Meter* next_;
  Meter* previous_ = nullptr;
};

}  // namespace culvert::ztunnel
