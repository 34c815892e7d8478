/* The socket options that probe.c knows: name, level, number, and of what kind the value is. */
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

enum kind { INT, LINGER, TIME, TEXT };

static const struct option {
  const char *name;
  int level, number;
  enum kind kind;
} OPTIONS[] = {
    {"SO_REUSEADDR", SOL_SOCKET, 2, INT},
    {"SO_REUSEPORT", SOL_SOCKET, 15, INT},
    {"SO_KEEPALIVE", SOL_SOCKET, 9, INT},
    {"SO_OOBINLINE", SOL_SOCKET, 10, INT},
    {"SO_LINGER", SOL_SOCKET, 13, LINGER},
    {"SO_RCVBUF", SOL_SOCKET, 8, INT},
    {"SO_SNDBUF", SOL_SOCKET, 7, INT},
    {"SO_RCVLOWAT", SOL_SOCKET, 18, INT},
    {"SO_RCVTIMEO", SOL_SOCKET, 20, TIME},
    {"SO_SNDTIMEO", SOL_SOCKET, 21, TIME},
    {"SO_PRIORITY", SOL_SOCKET, 12, INT},
    {"SO_MARK", SOL_SOCKET, 36, INT},
    {"SO_BUSY_POLL", SOL_SOCKET, 46, INT},
    {"SO_INCOMING_CPU", SOL_SOCKET, 49, INT},
    {"SO_MAX_PACING_RATE", SOL_SOCKET, 47, INT},
    {"SO_ZEROCOPY", SOL_SOCKET, 60, INT},
    {"SO_BINDTODEVICE", SOL_SOCKET, 25, TEXT},
    {"SO_DONTROUTE", SOL_SOCKET, 5, INT},
    {"IP_TOS", IPPROTO_IP, 1, INT},
    {"IP_TTL", IPPROTO_IP, 2, INT},
    {"IP_MINTTL", IPPROTO_IP, 21, INT},
    {"IP_FREEBIND", IPPROTO_IP, 15, INT},
    {"IP_TRANSPARENT", IPPROTO_IP, 19, INT},
    {"IP_MTU_DISCOVER", IPPROTO_IP, 10, INT},
    {"IP_BIND_ADDRESS_NO_PORT", IPPROTO_IP, 24, INT},
    {"IPV6_V6ONLY", IPPROTO_IPV6, 26, INT},
    {"IPV6_TCLASS", IPPROTO_IPV6, 67, INT},
    {"IPV6_UNICAST_HOPS", IPPROTO_IPV6, 16, INT},
    {"IPV6_FREEBIND", IPPROTO_IPV6, 78, INT},
    {"IPV6_TRANSPARENT", IPPROTO_IPV6, 75, INT},
    {"TCP_NODELAY", IPPROTO_TCP, 1, INT},
    {"TCP_MAXSEG", IPPROTO_TCP, 2, INT},
    {"TCP_CORK", IPPROTO_TCP, 3, INT},
    {"TCP_KEEPIDLE", IPPROTO_TCP, 4, INT},
    {"TCP_KEEPINTVL", IPPROTO_TCP, 5, INT},
    {"TCP_KEEPCNT", IPPROTO_TCP, 6, INT},
    {"TCP_SYNCNT", IPPROTO_TCP, 7, INT},
    {"TCP_LINGER2", IPPROTO_TCP, 8, INT},
    {"TCP_DEFER_ACCEPT", IPPROTO_TCP, 9, INT},
    {"TCP_WINDOW_CLAMP", IPPROTO_TCP, 10, INT},
    {"TCP_CONGESTION", IPPROTO_TCP, 13, TEXT},
    {"TCP_USER_TIMEOUT", IPPROTO_TCP, 18, INT},
    {"TCP_FASTOPEN", IPPROTO_TCP, 23, INT},
    {"TCP_NOTSENT_LOWAT", IPPROTO_TCP, 25, INT},
    {"TCP_SAVE_SYN", IPPROTO_TCP, 27, INT},
    /* These can be set, and not asked for. */
    {"SO_RCVBUFFORCE", SOL_SOCKET, 33, INT},
    {"SO_SNDBUFFORCE", SOL_SOCKET, 32, INT},
};
#define COUNT ((int)(sizeof OPTIONS / sizeof *OPTIONS))
#define READABLE (COUNT - 2)

static const struct option *option_of(const char *name) {
  for (int i = 0; i < COUNT; i++)
    if (!strcmp(OPTIONS[i].name, name)) return &OPTIONS[i];
  fprintf(stderr, "no such option: %s\n", name);
  exit(2);
}

/* `short:` before a number makes it one byte long, which is not enough for the kernel. */
static int set_option(int fd, const struct option *it, const char *value) {
  if (it->kind == TEXT) return setsockopt(fd, it->level, it->number, value, strlen(value) + 1);
  if (it->kind == LINGER) {
    struct linger linger = {.l_onoff = 1, .l_linger = atoi(value)};
    return setsockopt(fd, it->level, it->number, &linger, sizeof linger);
  }
  if (it->kind == TIME) {
    struct timeval time = {.tv_sec = atoi(value)};
    return setsockopt(fd, it->level, it->number, &time, sizeof time);
  }
  int tiny = !strncmp(value, "short:", 6), number = atoi(tiny ? value + 6 : value);
  return setsockopt(fd, it->level, it->number, &number, tiny ? 1 : sizeof number);
}

/* The value in words, to `text`; the result of getsockopt(2). */
static int get_option(int fd, const struct option *it, char *text, size_t size) {
  char raw[64] = {0};
  socklen_t length = it->kind == TEXT ? sizeof raw - 1
                     : it->kind == LINGER ? sizeof(struct linger)
                     : it->kind == TIME   ? sizeof(struct timeval)
                                          : sizeof(int);
  int got = getsockopt(fd, it->level, it->number, raw, &length);
  if (got < 0) return got;
  if (it->kind == TEXT) snprintf(text, size, "'%s'", raw);
  else if (it->kind == LINGER) snprintf(text, size, "%d,%d", ((struct linger *)raw)->l_onoff, ((struct linger *)raw)->l_linger);
  else if (it->kind == TIME) snprintf(text, size, "%ld", (long)((struct timeval *)raw)->tv_sec);
  else snprintf(text, size, "%d", *(int *)raw);
  return got;
}
