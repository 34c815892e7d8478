/* A server that binds and listens by calls of the 32-bit architecture, as a program built for i386 does: by socketcall(2) with
   "socketcall", else by its own calls. Built with -static -no-pie, so that addresses fit into 32 bits. */
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct sockaddr_in address;
static unsigned arguments[3];

static int call(int number, unsigned one, unsigned two, unsigned three) {
    int result;
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "b"(one), "c"(two), "d"(three) : "memory", "r8", "r9", "r10", "r11");
    return result;
}

static int on_socket(int by_socketcall, int which, int number, unsigned one, unsigned two, unsigned three) {
    if (!by_socketcall)
        return call(number, one, two, three);
    arguments[0] = one;
    arguments[1] = two;
    arguments[2] = three;
    return call(102, which, (unsigned)(unsigned long)arguments, 0);
}

int main(int count, char **words) {
    int by_socketcall = count > 2 && strcmp(words[2], "socketcall") == 0;
    address.sin_family = AF_INET;
    address.sin_port = htons(atoi(words[1]));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int on = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (on_socket(by_socketcall, 2, 361, listener, (unsigned)(unsigned long)&address, sizeof address) != 0 ||
        on_socket(by_socketcall, 4, 363, listener, 64, 0) != 0) {
        fprintf(stderr, "cannot listen\n");
        return 1;
    }
    char answer[256], request[4096];
    const char *generation = getenv("SEGUE_GENERATION");
    snprintf(answer, sizeof answer, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%s", strlen(generation), generation);
    for (;;) {
        int connection = accept(listener, NULL, NULL);
        if (connection < 0 || read(connection, request, sizeof request) < 0 || write(connection, answer, strlen(answer)) < 0)
            continue;
        close(connection);
    }
}
