#pragma once
// Messages as gRPC holds them, and as everybody else does. Only for this folder.

#include <grpcpp/support/byte_buffer.h>

#include <memory>
#include <span>
#include <string>

namespace culvert::rpc {

std::string text_of(const grpc::ByteBuffer& buffer);
grpc::ByteBuffer buffer_of(const std::string& message);
// Large pieces are kept, not copied, until gRPC has sent them.
grpc::ByteBuffer buffer_of(std::span<const std::shared_ptr<const std::string>> pieces);

// Makes every TLS connection of gRPC in this process 1.3, and sends what gRPC prints to our log (scope grpc, level debug: calls tell their
// errors themselves). To be called before the first channel or server is made; any number of times.
void prepare_grpc();

}  // namespace culvert::rpc
