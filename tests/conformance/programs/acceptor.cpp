// A server as the tutorial of Asio has it: acceptor PORT. Asio puts the acceptor into its epoll when it is opened, before bind.
#include <asio.hpp>
#include <cstdlib>
#include <memory>
#include <string>

using asio::ip::tcp;

static void take(tcp::acceptor &acceptor) {
  acceptor.async_accept([&acceptor](std::error_code error, tcp::socket socket) {
    if (!error) {
      auto one = std::make_shared<tcp::socket>(std::move(socket));
      auto request = std::make_shared<asio::streambuf>();
      asio::async_read_until(*one, *request, "\r\n\r\n", [one, request](std::error_code failed, std::size_t) {
        if (failed) return;
        auto answer = std::make_shared<std::string>("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\nasio");
        asio::async_write(*one, asio::buffer(*answer), [one, answer](std::error_code, std::size_t) {
          std::error_code ignored;
          one->shutdown(tcp::socket::shutdown_send, ignored);
          auto rest = std::make_shared<std::array<char, 256>>();
          one->async_read_some(asio::buffer(*rest), [one, rest](std::error_code, std::size_t) {});
        });
      });
    }
    take(acceptor);
  });
}

int main(int count, char **words) {
  if (count != 2) return 2;
  asio::io_context context;
  tcp::acceptor acceptor(context, tcp::endpoint(asio::ip::address_v4::loopback(), static_cast<unsigned short>(std::atoi(words[1]))));
  take(acceptor);
  context.run();
}
