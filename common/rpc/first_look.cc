#include "common/rpc/first_look.h"

#include <charconv>
#include <string>

#include "common/base/mutex.h"

namespace culvert::rpc {
namespace {

constexpr const char* kNumber = "culvert_connection";

// What gRPC knows of a connection is shared by all of its calls: there its number is kept.
Turnstile::Number number_in(const grpc::AuthContext& context) {
  const auto found = context.FindPropertyValues(kNumber);
  Turnstile::Number number = 0;
  if (!found.empty()) std::from_chars(found.front().data(), found.front().data() + found.front().size(), number);
  return number;
}

class FirstLook final : public grpc::AuthMetadataProcessor {
 public:
  explicit FirstLook(Door& door) : door_(door) {}
  bool IsBlocking() const override { return false; }

  grpc::Status Process(const InputMetadata&, grpc::AuthContext* context, OutputMetadata*, OutputMetadata*) override {
    const Lock lock(mutex_);
    const Turnstile::Number known = number_in(*context);
    Turnstile::Number number = known;
    const bool passes = door_.read_call(number);
    if (known == 0) context->AddProperty(kNumber, std::to_string(number));
    return passes ? grpc::Status::OK : grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, "too many calls at one time");
  }

 private:
  Door& door_;
  Mutex mutex_;  // of the contexts: two threads may read calls of one connection, and the first one writes
};

}  // namespace

std::shared_ptr<grpc::AuthMetadataProcessor> first_look(Door& door) { return std::make_shared<FirstLook>(door); }

Turnstile::Number number_of(const grpc::ServerContextBase& context) {
  const auto shared = context.auth_context();
  return shared ? number_in(*shared) : 0;
}

}  // namespace culvert::rpc
