#include "ztunnel/record/record.h"

#include <string_view>
#include <tuple>
#include <utility>

#include "common/base/log.h"

namespace culvert::ztunnel {
namespace {

constexpr std::string_view kScope = "access";

std::string_view direction(Reporter reporter) { return reporter == Reporter::kSource ? "outbound" : "inbound"; }

// The fields of a line, in Istio's order; what is not known is left out. Nothing is copied on the way to the line.
void put(log::Line& line, std::string_view key, std::string_view value) {
  if (!value.empty()) line.add(key, value);
}

void put_address(log::Line& line, std::string_view key, const Endpoint& endpoint) {
  line.add(key, endpoint.text(), log::Field::Kind::kBare);
}

void put_identity(log::Line& line, std::string_view key, const std::optional<Identity>& identity) {
  if (identity)
    line.add(key, {"spiffe://", identity->trust_domain, "/ns/", identity->name_space, "/sa/", identity->service_account});
}

const std::string& workload_name(const model::WorkloadRef& workload) {
  return workload->name.empty() ? workload->canonical_name : workload->name;
}

void put_ends(log::Line& line, const Facts& facts) {
  const auto& [source, destination] = std::tie(facts.source_workload, facts.destination_workload);
  put_address(line, "src.addr", facts.source);
  put(line, "src.workload", source ? workload_name(source) : facts.source_baggage.canonical_name);
  put(line, "src.namespace", source ? source->name_space : facts.source_baggage.name_space);
  put_identity(line, "src.identity", facts.source_identity);
  put(line, "src.cluster", source ? source->cluster_id : facts.source_baggage.cluster_id);
  put_address(line, "dst.addr", facts.destination);
  if (facts.tunnelled) put_address(line, "dst.hbone_addr", *facts.tunnelled);
  if (facts.service) put(line, "dst.service", facts.service->hostname);
  if (destination) {
    put(line, "dst.workload", workload_name(destination));
    put(line, "dst.namespace", destination->name_space);
  }
  put_identity(line, "dst.identity", facts.destination_identity);
  if (destination) put(line, "dst.cluster", destination->cluster_id);
  put(line, "direction", direction(facts.reporter));
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
  ++traffic_->traffic.closed[flag];
  count_bytes(flag);
  --traffic_->holders;
  log_end();
}

void Record::opened() {
  if (traffic_ != nullptr) return;
  traffic_ = &counters_.traffic(facts);
  ++traffic_->traffic.opened;
  ++traffic_->holders;
  counters_.open(facts.reporter, +1);
  if (!log::enabled(log::Level::kDebug, kScope)) return;
  log::Line line(log::Level::kDebug, kScope, "connection opened");
  put_ends(line, facts);
  line.write();
}

void Record::count_bytes(std::size_t flag) {
  traffic_->traffic.received[flag] += to_server_ - std::exchange(counted_to_server_, to_server_);
  traffic_->traffic.sent[flag] += to_client_ - std::exchange(counted_to_client_, to_client_);
}

void Record::ended(Reason reason, std::string text) {
  reason_ = reason;
  text_ = std::move(text);
}

void Record::refused(const Error& error, RefusedLines& lines) {
  failed(error);
  const auto left_out = lines.say(RefusedLines::Clock::now());
  has_line_ = left_out.has_value();
  left_out_ = left_out.value_or(0);
}

void Record::log_end() const {
  const auto level = reason_ == Reason::kNone ? log::Level::kInfo : log::Level::kError;
  if (!has_line_ || !log::enabled(level, kScope)) return;
  const bool outbound = facts.reporter == Reporter::kSource;
  const auto duration = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - begun_);
  log::Line line(level, kScope, "connection complete");
  put_ends(line, facts);
  line.add("bytes_sent", outbound ? to_server_ : to_client_);
  line.add("bytes_recv", outbound ? to_client_ : to_server_);
  line.add("duration", {std::to_string(duration.count()), "ms"});
  if (reason_ != Reason::kNone) {
    line.add("error", text_.empty() ? name(reason_) : std::string_view(text_));
    line.add("reason", name(reason_));
  }
  if (left_out_ != 0) line.add("not_logged_before", left_out_);
  line.write();
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
  if (!has_line_ || !log::enabled(log::Level::kWarn, kScope)) return;
  log::Line line(log::Level::kWarn, kScope, "connection failed");
  put_address(line, "src.addr", facts.source);
  put_address(line, "dst.addr", facts.destination);
  put(line, "direction", direction(facts.reporter));
  put(line, "error", text_);
  put(line, "reason", name(reason_));
  if (left_out_ != 0) line.add("not_logged_before", left_out_);
  line.write();
}

}  // namespace culvert::ztunnel
