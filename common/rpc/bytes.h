#pragma once
// Messages as gRPC holds them, and as everybody else does. Only for this folder.

#include <grpcpp/support/byte_buffer.h>

#include <string>

namespace culvert::rpc {

std::string text_of(const grpc::ByteBuffer& buffer);
grpc::ByteBuffer buffer_of(const std::string& message);

// Makes every TLS connection of gRPC in this process 1.3, and sends what gRPC prints to our log (scope grpc, level debug: calls tell their
// errors themselves). To be called before the first channel is made; any number of times.
void prepare_grpc();

}  // namespace culvert::rpc
