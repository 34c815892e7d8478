/* Does socket operations as a script says, and prints what came of each: probe SCRIPT. One operation a line; sockets are
 * named by letters; the lines between `fork`, `stay`, `pass X Y` or `thread` and `end` are another process's or thread's.
 * Ports outside those that the script names (`ports FIRST LAST`) are printed as any1, any2, … in the order in which they are first seen. */
#define _GNU_SOURCE
#include "options.h"
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "confine.h"
#include "sockets.h"

#define PATIENCE 200 /* milliseconds: for what happens at once where it happens at all */
#define LAG 450      /* milliseconds: somewhat longer than a closed listener may be there under traffic */
#define LINES 20000

static char *lines[LINES];
static int count;
static int slots[128]; /* by letter */
static ino_t inodes[128];
static pid_t children[64];
static int low, high, strange, quiet;
static int strangers[64];

static void run(int from, int to);

static const char *name_of(int error) {
  const char *name = strerrorname_np(error);
  return name ? name : "?";
}

static int said(const char *what, int result) {
  if (quiet) return result;
  if (result < 0) printf(" %s %s", what, name_of(errno));
  else printf(" %s ok", what);
  return result;
}

/* A port as the script names it. */
static const char *port_of(int port) {
  static char text[16];
  if (port >= low && port <= high) return snprintf(text, sizeof text, "%d", port), text;
  if (port == 0) return "0";
  int i = 0;
  while (i < strange && strangers[i] != port) i++;
  if (i == strange && strange < 64) strangers[strange++] = port;
  snprintf(text, sizeof text, "any%d", i + 1);
  return text;
}

static socklen_t address(const char *host, int port, struct sockaddr_storage *to) {
  memset(to, 0, sizeof *to);
  if (!strncmp(host, "unix:", 5)) {
    struct sockaddr_un *un = (void *)to;
    un->sun_family = AF_UNIX;
    strncpy(un->sun_path, host + 5, sizeof un->sun_path - 1);
    return offsetof(struct sockaddr_un, sun_path) + strlen(un->sun_path) + 1;
  }
  if (strchr(host, ':')) {
    struct sockaddr_in6 *six = (void *)to;
    six->sin6_family = AF_INET6, six->sin6_port = htons(port);
    inet_pton(AF_INET6, host, &six->sin6_addr);
    return sizeof *six;
  }
  struct sockaddr_in *four = (void *)to;
  four->sin_family = AF_INET, four->sin_port = htons(port);
  inet_pton(AF_INET, host, &four->sin_addr);
  return sizeof *four;
}

static void print_address(const char *what, int result, struct sockaddr_storage *of, socklen_t length) {
  char host[INET6_ADDRSTRLEN] = "";
  if (result < 0) printf(" %s %s", what, name_of(errno));
  else if (of->ss_family == AF_INET) {
    struct sockaddr_in *four = (void *)of;
    printf(" %s %s/%s", what, inet_ntop(AF_INET, &four->sin_addr, host, sizeof host), port_of(ntohs(four->sin_port)));
  } else if (of->ss_family == AF_INET6) {
    struct sockaddr_in6 *six = (void *)of;
    printf(" %s %s/%s", what, inet_ntop(AF_INET6, &six->sin6_addr, host, sizeof host), port_of(ntohs(six->sin6_port)));
  } else printf(" %s unix:%s", what, length > 2 ? ((struct sockaddr_un *)of)->sun_path : "");
}

static void names(int fd) {
  struct sockaddr_storage it;
  socklen_t length = sizeof it;
  memset(&it, 0, sizeof it);
  int got = getsockname(fd, (void *)&it, &length);
  print_address("name", got, &it, length);
  length = sizeof it;
  memset(&it, 0, sizeof it);
  got = getpeername(fd, (void *)&it, &length);
  print_address("peer", got, &it, length);
}

static int number(int fd, int name) {
  int value = -1;
  socklen_t length = sizeof value;
  return getsockopt(fd, SOL_SOCKET, name, &value, &length) < 0 ? -errno : value;
}

/* What a socket is, and whether it is still the file that it was when it was made. */
static void about(int letter) {
  int fd = slots[letter], owner = fcntl(fd, F_GETOWN);
  struct stat it = {0};
  names(fd);
  printf(" fd=%d ACCEPTCONN=%d PROTOCOL=%d DOMAIN=%d TYPE=%d ERROR=%d", fd, number(fd, SO_ACCEPTCONN), number(fd, SO_PROTOCOL),
         number(fd, SO_DOMAIN), number(fd, SO_TYPE), number(fd, SO_ERROR));
  printf(" GETFL=%o GETFD=%d GETSIG=%d GETOWN=%s", fcntl(fd, F_GETFL), fcntl(fd, F_GETFD), fcntl(fd, F_GETSIG),
         owner == getpid() ? "self" : owner == 0 ? "none" : "other");
  printf(" same-inode=%s", fstat(fd, &it) < 0 ? "closed" : it.st_ino == inodes[letter] ? "yes" : "no");
  struct pollfd poll_it = {.fd = fd, .events = POLLIN | POLLOUT};
  poll(&poll_it, 1, 0);
  printf(" poll=%x", poll_it.revents);
}

static void options(int fd) {
  for (int i = 0; i < READABLE; i++) {
    char text[96];
    int got = get_option(fd, &OPTIONS[i], text, sizeof text);
    /* On which processor a connection arrived is random; a listener reports what was set. */
    int guess = OPTIONS[i].number == SO_INCOMING_CPU && OPTIONS[i].level == SOL_SOCKET && number(fd, SO_ACCEPTCONN) != 1;
    printf(" %s=%s", OPTIONS[i].name, got < 0 ? name_of(errno) : guess ? "-" : text);
  }
}

/* The open files: number and kind. */
static void files(void) {
  DIR *all = opendir("/proc/self/fd");
  char *found[256];
  int many = 0;
  for (struct dirent *it; (it = readdir(all)) && many < 256;) {
    char target[256] = "", path[300];
    if (it->d_name[0] == '.' || atoi(it->d_name) == dirfd(all)) continue;
    snprintf(path, sizeof path, "/proc/self/fd/%s", it->d_name);
    if (readlink(path, target, sizeof target - 1) < 0) strcpy(target, "gone");
    char *colon = strchr(target, ':');
    int anonymous = !strncmp(target, "anon_inode", 10);
    if (colon && !anonymous) *colon = 0;
    if (asprintf(&found[many], "%03d:%s", atoi(it->d_name), target[0] == '/' ? "file" : target) > 0) many++;
  }
  closedir(all);
  print_sorted(found, many);
}

static int wait_for(int fd, short events) {
  struct pollfd it = {.fd = fd, .events = events};
  return poll(&it, 1, PATIENCE);
}

static int keep(int letter, int fd) {
  struct stat it = {0};
  slots[letter] = fd;
  if (fd >= 0 && fstat(fd, &it) == 0) inodes[letter] = it.st_ino;
  return fd;
}

/* connect(2), with an end: the socket is as before afterwards. */
static int join(int fd, const char *host, int port) {
  struct sockaddr_storage to;
  socklen_t length = address(host, port, &to);
  int flags = fcntl(fd, F_GETFL);
  if (flags >= 0) fcntl(fd, F_SETFL, flags | O_NONBLOCK);
  int result = connect(fd, (void *)&to, length);
  if (result < 0 && errno == EINPROGRESS) {
    if (wait_for(fd, POLLOUT) == 0) errno = ETIMEDOUT;
    else if ((errno = number(fd, SO_ERROR)) == 0) result = 0;
  }
  int error = errno;
  if (flags >= 0) fcntl(fd, F_SETFL, flags);
  errno = error;
  return said("connect", result);
}

/* A client of the script's own: connects, sends a few bytes. */
static int client(const char *host, int port) {
  int family = !strncmp(host, "unix:", 5) ? AF_UNIX : strchr(host, ':') ? AF_INET6 : AF_INET;
  int fd = socket(family, SOCK_STREAM, 0), result = join(fd, host, port);
  if (result == 0 && send(fd, "xxxxxxxx", 8, MSG_NOSIGNAL) != 8) said("send", -1);
  if (result == 0) return fd;
  close(fd);
  return -1;
}

/* Connects to the listener and takes the connection from it. */
static void meet(int letter, const char *host, int port, int to_client, int to_accepted) {
  int listener = slots[letter];
  char bytes[8];
  keep(to_client, client(host, port));
  slots[to_accepted] = -1;
  if (slots[to_client] < 0) return;
  if (wait_for(listener, POLLIN) == 0) {
    printf(" accept nothing-came");
    return;
  }
  said("accept", keep(to_accepted, accept(listener, NULL, NULL)));
  if (slots[to_accepted] < 0) return;
  wait_for(slots[to_accepted], POLLIN);
  printf(" received %zd", recv(slots[to_accepted], bytes, 8, MSG_DONTWAIT));
  printf(" sent %zd", send(slots[to_accepted], "y", 1, MSG_NOSIGNAL));
  wait_for(slots[to_client], POLLIN);
  printf(" answer %zd", recv(slots[to_client], bytes, 8, MSG_DONTWAIT));
}

/* Connects, and takes the connection from whichever of the listeners has it: 1 if one has. The client closes first, so that the
 * port of the listener is left as it was. */
static int reach(const char *host, int port, int patience) {
  struct pollfd all[26];
  char bytes[8];
  int fd = client(host, port), accepted = -1;
  if (fd < 0) return 0;
  for (int i = 0; i < 26; i++) {
    all[i].fd = number(slots['a' + i], SO_ACCEPTCONN) == 1 ? slots['a' + i] : -1;
    all[i].events = POLLIN, all[i].revents = 0;
  }
  poll(all, 26, patience);
  for (int i = 0; i < 26 && accepted < 0; i++)
    if (all[i].fd >= 0 && all[i].revents & POLLIN) accepted = accept4(all[i].fd, NULL, NULL, SOCK_NONBLOCK);
  if (!quiet) printf(accepted < 0 ? " held-by-none" : " held");
  for (int i = 0; accepted >= 0 && i < 2; i++) {
    wait_for(accepted, POLLIN);
    if (recv(accepted, bytes, 8, 0) == 0) break;
    close(fd);
    fd = -1;
  }
  if (accepted >= 0) close(accepted);
  if (fd >= 0) close(fd);
  return accepted >= 0;
}

/* How many listeners of a port are here. */
static int own_listeners(int port) {
  ino_t seen[26];
  int many = 0;
  for (int i = 'a'; i <= 'z'; i++) {
    struct sockaddr_in6 it = {0};
    struct stat file;
    socklen_t length = sizeof it;
    if (number(slots[i], SO_ACCEPTCONN) != 1 || getsockname(slots[i], (void *)&it, &length) < 0) continue;
    if (ntohs(it.sin6_port) != port || fstat(slots[i], &file) < 0) continue;
    int at = 0;
    while (at < many && seen[at] != file.st_ino) at++;
    if (at == many) seen[many++] = file.st_ino;
  }
  return many;
}

/* How many times longer things take here than on a usual machine. */
static int slowness(void) {
  const char *text = getenv("TESTS_SLOW");
  return text && atoi(text) > 0 ? atoi(text) : 1;
}

/* Gives who may hold a listener that is closed here a moment to notice that no process accepts its connections. */
static void lag(const char *host, int port) {
  char *found[64];
  struct timespec begin, now;
  int came = 0;
  clock_gettime(CLOCK_MONOTONIC, &begin);
  quiet = 1;
  do {
    int many = listeners_of(AF_INET6, port, found, listeners_of(AF_INET, port, found, 0));
    for (int i = 0; i < many; i++) free(found[i]);
    if (many <= own_listeners(port)) break;
    /* Among several listeners chance decides: many connections come until one has come to the closed one, and few after that. */
    if (!reach(host, port, 5) && !came) {
      clock_gettime(CLOCK_MONOTONIC, &begin);
      came = 1;
    }
    poll(NULL, 0, came ? 15 : 2);
    clock_gettime(CLOCK_MONOTONIC, &now);
  } while ((now.tv_sec - begin.tv_sec) * 1000 + (now.tv_nsec - begin.tv_nsec) / 1000000 < LAG * slowness());
  quiet = 0;
}

static void events(int epoll, int patience) {
  struct epoll_event found[16];
  int many = epoll_wait(epoll, found, 16, patience);
  if (many < 0) said("epoll_wait", many);
  for (char letter = 'a'; letter <= 'z'; letter++)
    for (int i = 0; i < many; i++)
      if ((char)found[i].data.u32 == letter) printf(" %c:%x", letter, found[i].events);
  if (many == 0) printf(" none");
}

static int end_of(int from) {
  int depth = 1, at = from + 1;
  for (; at < count && depth > 0; at++) {
    const char *line = lines[at];
    if (!strncmp(line, "fork", 4) || !strncmp(line, "stay", 4) || !strncmp(line, "thread", 6) || !strncmp(line, "pass ", 5)) depth++;
    if (!strcmp(line, "end")) depth--;
  }
  return at - 1;
}

#include "operations.h"

static void finish_case(void) {
  for (int i = 0; i < 64; i++)
    if (children[i] > 0) kill(children[i], SIGKILL), waitpid(children[i], NULL, 0), children[i] = 0;
  for (int i = 'a'; i <= 'z'; i++) {
    if (slots[i] >= 0) close(slots[i]);
    slots[i] = -1;
  }
  strange = 0;
}

static void run(int from, int to) {
  for (int at = from; at < to; at++) {
    if (!strncmp(lines[at], "case ", 5)) {
      finish_case();
      printf("== %s\n", lines[at] + 5);
      fflush(stdout);
      continue;
    }
    printf("%s:", lines[at]);
    int end = elsewhere(at);
    if (end) at = end;
    else operation(lines[at]);
    printf("\n");
    fflush(stdout);
  }
}

int main(int many, char **words) {
  FILE *script = many == 2 ? fopen(words[1], "re") : NULL;
  char line[300];
  if (!script) return 2;
  for (int i = 0; i < 128; i++) slots[i] = -1;
  while (count < LINES && fgets(line, sizeof line, script)) {
    line[strcspn(line, "\n")] = 0;
    if (sscanf(line, "ports %d %d", &low, &high) < 2) lines[count++] = strdup(line);
  }
  fclose(script);
  signal(SIGPIPE, SIG_IGN);
  signal(SIGIO, SIG_IGN);
  run(0, count);
  finish_case();
  return 0;
}
