#pragma once
// Where gRPC shows us a call on the thread that has read it, before it has cost more than that: as "processing of the metadata of authentication". What is
// refused here is gone when that thread has read on; what passes goes through queues of gRPC's and is CreateReactor()'s later on. (With TLS only: gRPC asks
// nobody without.)

#include <grpcpp/security/auth_metadata_processor.h>
#include <grpcpp/server_context.h>

#include <memory>

#include "common/rpc/door.h"

namespace culvert::rpc {

// The door must outlive the server.
std::shared_ptr<grpc::AuthMetadataProcessor> first_look(Door& door);
// Of the connection of a call that passed; 0: nobody has looked.
Turnstile::Number number_of(const grpc::ServerContextBase& context);

}  // namespace culvert::rpc
