#include "ztunnel/record/record.h"

#include <array>
#include <utility>
#include <vector>

#include "common/base/log.h"

namespace culvert::ztunnel {
namespace {

constexpr std::string_view kScope = "access";

std::string_view direction(Reporter reporter) { return reporter == Reporter::kSource ? "outbound" : "inbound"; }

// The fields of a line, in Istio's order; what is not known is left out.
class Fields {
 public:
  Fields() { fields_.reserve(20); }
  void add(std::string_view key, std::string value) {
    if (!value.empty()) fields_.push_back(log::field(key, std::move(value)));
  }
  void number(std::string_view key, std::uint64_t value) { fields_.push_back(log::field(key, value)); }
  std::span<const log::Field> all() const { return fields_; }

 private:
  std::vector<log::Field> fields_;
};

std::string workload_name(const model::WorkloadRef& workload) {
  return workload->name.empty() ? workload->canonical_name : workload->name;
}

void add_source(Fields& fields, const Facts& facts) {
  fields.add("src.addr", facts.source.text());
  if (facts.source_workload) {
    fields.add("src.workload", workload_name(facts.source_workload));
    fields.add("src.namespace", facts.source_workload->name_space);
  } else {
    fields.add("src.workload", facts.source_baggage.canonical_name);
    fields.add("src.namespace", facts.source_baggage.name_space);
  }
  if (facts.source_identity) fields.add("src.identity", facts.source_identity->uri());
  fields.add("src.cluster", facts.source_workload ? facts.source_workload->cluster_id : facts.source_baggage.cluster_id);
}

void add_destination(Fields& fields, const Facts& facts) {
  fields.add("dst.addr", facts.destination.text());
  if (facts.tunnelled) fields.add("dst.hbone_addr", facts.tunnelled->text());
  if (facts.service) fields.add("dst.service", facts.service->hostname);
  if (facts.destination_workload) {
    fields.add("dst.workload", workload_name(facts.destination_workload));
    fields.add("dst.namespace", facts.destination_workload->name_space);
  }
  if (facts.destination_identity) fields.add("dst.identity", facts.destination_identity->uri());
  if (facts.destination_workload) fields.add("dst.cluster", facts.destination_workload->cluster_id);
}

}  // namespace

Record::Record(Counters& counters, Reporter reporter, Endpoint source, Endpoint destination) : counters_(counters) {
  facts.reporter = reporter;
  facts.source = source;
  facts.destination = destination;
}

Record::~Record() {
  counters_.ended(facts.reporter, reason_);
  if (traffic_ == nullptr) {
    log_early();
    return;
  }
  counters_.open(facts.reporter, -1);
  const std::size_t flag = flag_index(reason_);
  ++traffic_->closed[flag];
  count_bytes(flag);
  log_end();
}

void Record::opened() {
  if (traffic_ != nullptr) return;
  traffic_ = &counters_.traffic(facts);
  ++traffic_->opened;
  counters_.open(facts.reporter, +1);
  if (!log::enabled(log::Level::kDebug, kScope)) return;
  Fields fields;
  add_source(fields, facts);
  add_destination(fields, facts);
  fields.add("direction", std::string(direction(facts.reporter)));
  log::write(log::Level::kDebug, kScope, "connection opened", fields.all());
}

void Record::count_bytes(std::size_t flag) {
  traffic_->received[flag] += to_server_ - std::exchange(counted_to_server_, to_server_);
  traffic_->sent[flag] += to_client_ - std::exchange(counted_to_client_, to_client_);
}

void Record::ended(Reason reason, std::string text) {
  reason_ = reason;
  text_ = std::move(text);
}

void Record::log_end() const {
  const auto level = reason_ == Reason::kNone ? log::Level::kInfo : log::Level::kError;
  if (!log::enabled(level, kScope)) return;
  const bool outbound = facts.reporter == Reporter::kSource;
  const auto duration = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - begun_);
  Fields fields;
  add_source(fields, facts);
  add_destination(fields, facts);
  fields.add("direction", std::string(direction(facts.reporter)));
  fields.number("bytes_sent", outbound ? to_server_ : to_client_);
  fields.number("bytes_recv", outbound ? to_client_ : to_server_);
  fields.add("duration", std::to_string(duration.count()) + "ms");
  if (reason_ != Reason::kNone) {
    fields.add("error", text_.empty() ? std::string(name(reason_)) : text_);
    fields.add("reason", std::string(name(reason_)));
  }
  log::write(level, kScope, "connection complete", fields.all());
}

Meter::Meter(Record& record, const std::uint64_t& to_server, const std::uint64_t& to_client)
    : record_(record), to_server_(to_server), to_client_(to_client), next_(record.counters_.first_meter_) {
  if (next_ != nullptr) next_->previous_ = this;
  record_.counters_.first_meter_ = this;
}

Meter::~Meter() {
  read();
  if (next_ != nullptr) next_->previous_ = previous_;
  (previous_ != nullptr ? previous_->next_ : record_.counters_.first_meter_) = next_;
}

void Meter::read() {
  record_.to_server_ = to_server_;
  record_.to_client_ = to_client_;
  if (record_.traffic_ != nullptr) record_.count_bytes(flag_index(Reason::kNone));
}

void Record::log_early() const {
  if (!log::enabled(log::Level::kWarn, kScope)) return;
  Fields fields;
  fields.add("src.addr", facts.source.text());
  fields.add("dst.addr", facts.destination.text());
  fields.add("direction", std::string(direction(facts.reporter)));
  fields.add("error", text_);
  fields.add("reason", std::string(name(reason_)));
  log::write(log::Level::kWarn, kScope, "connection failed", fields.all());
}

}  // namespace culvert::ztunnel
