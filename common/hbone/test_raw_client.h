#pragma once
// A client for tests that does TLS as it should, and from there on what the test wants.

#include <optional>
#include <span>
#include <vector>

#include "common/hbone/engine.h"
#include "common/hbone/test_mesh.h"
#include "common/tls/session.h"

namespace culvert::hbone {

struct RawClient {
  net::Stream socket;
  std::optional<tls::Session> session;

  net::Task<bool> flush() {
    const auto out = session->output();
    const net::Io io = co_await socket.write_all(out);
    session->sent(out.size());
    co_return io.ok();
  }
  net::Task<bool> shake_hands(TestMesh& mesh) {
    auto dialled = co_await net::dial(mesh.loop(), {.to = mesh.server_address()});
    socket = need(std::move(dialled));
    session.emplace(mesh.context("client").mesh_client(mesh.expect));
    std::vector<std::byte> buffer(16 * 1024);
    while (true) {
      if (!co_await flush()) co_return false;
      if (session->state() != tls::Session::State::kHandshake) co_return session->established();
      const net::Io io = co_await socket.read(buffer);
      if (!io.ok()) co_return false;
      session->feed(std::span(buffer).first(io.bytes));
      session->keep();
    }
  }
  net::Task<bool> say(std::span<const std::byte> plaintext) {
    if (!session->write(plaintext)) co_return false;
    co_return co_await flush();
  }
  // The client's preface and SETTINGS.
  net::Task<bool> say_hello() {
    Engine engine(Engine::Role::kClient, {});
    co_return co_await say(engine.output());
  }
};

}  // namespace culvert::hbone
