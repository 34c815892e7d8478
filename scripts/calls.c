/* Times a call of a kind again and again, and prints the median in microseconds: calls KIND COUNT PORT.
 * KIND: udp, netlink, any (port 0), client (a source port by number), listen, connect (with its socket and its end). */
#define _GNU_SOURCE
#include <linux/netlink.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static int compare(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static struct sockaddr_in address(int port) {
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
  a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return a;
}

int main(int count, char **words) {
  if (count < 4) return 2;
  const char *kind = words[1];
  int rounds = atoi(words[2]), port = atoi(words[3]);
  double *took = calloc(rounds, sizeof *took);
  int server = socket(AF_INET, SOCK_STREAM, 0), one = 1;
  struct sockaddr_in here = address(0);
  socklen_t size = sizeof here;
  /* A first listener, as a server has one. */
  setsockopt(server, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  here = address(port);
  if (bind(server, (void *)&here, size) || listen(server, 4096)) return 3;
  for (int i = 0; i < rounds; i++) {
    struct sockaddr_nl netlink = {.nl_family = AF_NETLINK};
    struct sockaddr_in to = address(port + 1 + i % 2000);
    int udp = !strcmp(kind, "udp"), nl = !strcmp(kind, "netlink"), listens = !strcmp(kind, "listen");
    int connects = !strcmp(kind, "connect");
    struct timespec begin, end;
    if (connects) clock_gettime(CLOCK_MONOTONIC, &begin);
    int s = nl ? socket(AF_NETLINK, SOCK_RAW, 0) : socket(AF_INET, udp ? SOCK_DGRAM : SOCK_STREAM, 0);
    if (!strcmp(kind, "any")) to.sin_port = 0;
    if (listens) {
      setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
      if (bind(s, (void *)&to, sizeof to)) return 4;
    }
    if (!connects) clock_gettime(CLOCK_MONOTONIC, &begin);
    int failed = connects ? connect(s, (void *)&here, sizeof here)
                 : listens ? listen(s, 16)
                 : nl ? bind(s, (void *)&netlink, sizeof netlink) : bind(s, (void *)&to, sizeof to);
    if (connects) {
      close(accept(server, NULL, NULL));
      close(s);
    }
    clock_gettime(CLOCK_MONOTONIC, &end);
    if (failed) return 5;
    /* A server keeps its listeners, and does not open the next one in the same instant. */
    if (listens) usleep(1000);
    else if (!connects) close(s);
    took[i] = (end.tv_sec - begin.tv_sec) * 1e6 + (end.tv_nsec - begin.tv_nsec) / 1e3;
  }
  qsort(took, rounds, sizeof *took, compare);
  printf("%.2f\n", took[rounds / 2]);
  return 0;
}
