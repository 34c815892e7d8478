/* What the kernel tells of the sockets of a port. */
#include <arpa/inet.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>

static int by_text(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static void print_sorted(char **found, int many) {
  qsort(found, many, sizeof *found, by_text);
  for (int i = 0; i < many; i++) printf(" %s", found[i]), free(found[i]);
}

/* Who listens there, of one family. */
static int listeners_of(int family, int port, char **found, int many) {
  struct {
    struct nlmsghdr head;
    struct inet_diag_req_v2 body;
  } ask = {{sizeof ask, SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST | NLM_F_DUMP, 1, 0}, {family, IPPROTO_TCP, 0, 0, 1 << 10, {0}}};
  static char answer[65536] __attribute__((aligned(8)));
  int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG), more = send(fd, &ask, sizeof ask, 0) > 0;
  while (more) {
    int length = recv(fd, answer, sizeof answer, 0);
    more = length > 0;
    for (struct nlmsghdr *it = (void *)answer; more && NLMSG_OK(it, length); it = NLMSG_NEXT(it, length)) {
      struct inet_diag_msg *is = NLMSG_DATA(it);
      if (it->nlmsg_type == NLMSG_DONE || it->nlmsg_type == NLMSG_ERROR) more = 0;
      else if (ntohs(is->id.idiag_sport) == port && many < 64) {
        char host[INET6_ADDRSTRLEN];
        inet_ntop(family, is->id.idiag_src, host, sizeof host);
        if (asprintf(&found[many], "%s/uid=%u/most=%u", host, is->idiag_uid, is->idiag_wqueue) > 0) many++;
      }
    }
  }
  close(fd);
  return many;
}

/* Each listener of a port: its address, its owner, and how many may wait in it. */
static void listeners(int port) {
  char *found[64];
  print_sorted(found, listeners_of(AF_INET6, port, found, listeners_of(AF_INET, port, found, 0)));
}

/* Who listens and is connected at a port, by the kernel's table. (To read it takes milliseconds.) */
static void table(int port) {
  char *found[64], line[400];
  int many = 0;
  for (int six = 0; six < 2; six++) {
    FILE *file = fopen(six ? "/proc/net/tcp6" : "/proc/net/tcp", "re");
    while (file && fgets(line, sizeof line, file)) {
      char local[64], remote[64];
      unsigned state, uid, at = 0;
      if (sscanf(line, "%*d: %63s %63s %x %*s %*s %*s %u", local, remote, &state, &uid) != 4) continue;
      sscanf(strchr(local, ':') + 1, "%x", &at);
      if ((int)at == port && (state == 1 || state == 10) && many < 64)
        if (asprintf(&found[many], "%s/%s/%x/uid=%u", six ? "tcp6" : "tcp", strtok(local, ":"), state, uid) > 0) many++;
    }
    if (file) fclose(file);
  }
  print_sorted(found, many);
}
